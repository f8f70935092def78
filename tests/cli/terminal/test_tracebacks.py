import subprocess
import sys


def shown(folder, module):
    """The hook's output when a program in the role of `ironflow` imports `module`."""
    program = (
        "import importlib, sys\n"
        "from ironflow.cli.terminal import tracebacks\n"
        "sys.excepthook = tracebacks.show_users_frames\n"
        "tracebacks._OURS = (*tracebacks._OURS, '<string>')\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        f"importlib.import_module({module!r})\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    return ended.stderr


def test_a_file_that_cannot_be_read_as_python_is_shown_without_any_frame(tmp_path):
    (tmp_path / "broken.py").write_text("def f(:\n")

    text = shown(tmp_path, "broken")

    assert text.startswith(f'  File "{tmp_path / "broken.py"}", line 1\n')
    assert text.endswith("SyntaxError: invalid syntax\n")


def test_an_error_in_a_module_it_imports_keeps_all_of_the_users_frames(tmp_path):
    (tmp_path / "outer.py").write_text("import inner\n")
    (tmp_path / "inner.py").write_text("1 / 0\n")

    text = shown(tmp_path, "outer")

    assert text.startswith(f'Traceback (most recent call last):\n  File "{tmp_path / "outer.py"}", line 1')
    assert f'File "{tmp_path / "inner.py"}", line 1' in text
    assert text.endswith("ZeroDivisionError: division by zero\n")


def test_an_error_of_the_program_itself_keeps_its_whole_traceback():
    program = (
        "import sys\n"
        "from ironflow.cli.terminal import tracebacks\n"
        "sys.excepthook = tracebacks.show_users_frames\n"
        "tracebacks._OURS = (*tracebacks._OURS, '<string>')\n"
        "1 / 0\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30)

    assert 'File "<string>", line 5' in ended.stderr
