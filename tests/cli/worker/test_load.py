"""Targets of `ironflow worker` and `ironflow dev`."""

import pytest

from ironflow.cli.exits import UsageError
from ironflow.cli.worker.load import load_functions, load_upcasters, source_folder

SHOP = """
from ironflow import function

@function("greet", on="visitor.arrived")
async def greet(ctx): ...

@function("bill", on="order.placed")
async def bill(ctx): ...

functions = [greet]
number = 7
"""


@pytest.mark.parametrize(
    ("target", "ids"),
    [
        ("shop:functions", ["greet"]),
        ("shop:bill", ["bill"]),
        ("shop", ["greet", "bill"]),
        ("shop.py", ["greet", "bill"]),
        ("shop.py:functions", ["greet"]),
        ("inner/store.py", ["greet", "bill"]),
        ("inner.store", ["greet", "bill"]),
    ],
)
def test_functions_are_found_by_module_file_list_or_name(folder, target, ids):
    (folder / "shop.py").write_text(SHOP)
    (folder / "inner").mkdir()
    (folder / "inner" / "store.py").write_text(SHOP)

    assert [each.id for each in load_functions(target)] == ids


def test_functions_of_a_list_are_found_where_no_name_holds_one_alone(folder):
    (folder / "listed.py").write_text(
        "from ironflow import function\n"
        "functions = [function(name, on='a')(lambda ctx: None) for name in ('x', 'y')]\n"
        "mixed = [*functions, 7]\n"
    )

    assert [each.id for each in load_functions("listed")] == ["x", "y"]


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("nowhere:functions", "module 'nowhere' does not exist"),
        ("nowhere.py", "file 'nowhere.py' does not exist"),
        ("shop:missing", "shop has no 'missing'. It has greet, bill, functions."),
        ("shop:grete", "shop has no 'grete'. Is it 'greet'?"),
        ("shop:number", "shop:number is neither a function"),
        ("empty", "empty defines no function"),
        ("empty:functions", "It defines no function"),
        ("twins", "two functions have the id 'greet'"),
    ],
)
def test_a_missing_target_is_reported_by_name(folder, target, complaint):
    (folder / "shop.py").write_text(SHOP)
    (folder / "empty.py").write_text("")
    (folder / "twins.py").write_text(SHOP.replace("bill", "greet").replace("def greet", "def twin", 1))

    with pytest.raises(UsageError) as refused:
        load_functions(target)

    assert complaint in refused.value.message


def test_a_failed_import_inside_user_code_keeps_its_own_error(folder):
    (folder / "shop.py").write_text("import no_such_package\n")

    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        load_functions("shop")


def test_a_file_may_import_modules_of_its_folder(folder):
    (folder / "shop").mkdir()
    (folder / "shop" / "prices.py").write_text("PRICE = 7\n")
    (folder / "shop" / "app.py").write_text("import prices\n" + SHOP)

    assert [each.id for each in load_functions("shop/app.py:functions")] == ["greet"]
    assert source_folder("shop/app.py:functions") == (folder / "shop").resolve()
    assert source_folder("shop.app:functions") == folder


EVENTS = """
from ironflow import UpcasterRegistry, define_event

first = define_event(name="order.placed", version=1)
second = define_event(name="order.placed", version=2, upcast=lambda data: {**data, "currency": "EUR"})
upcasters = UpcasterRegistry([first, second])
same = upcasters
"""


@pytest.mark.parametrize("target", ["shop", "shop.py", "shop:functions", "shop.py:functions"])
def test_upcasters_are_found_in_the_module_of_the_functions(folder, target):
    (folder / "events.py").write_text(EVENTS)
    (folder / "shop.py").write_text(SHOP + "from events import upcasters\n")

    registry = load_upcasters(target)

    assert registry is not None
    assert registry.upcast("order.placed", {"id": 7}, 1) == {"id": 7, "currency": "EUR"}


def test_a_module_need_not_have_upcasters(folder):
    (folder / "shop.py").write_text(SHOP)
    assert load_upcasters("shop") is None


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("others = UpcasterRegistry()", "events has several upcaster registries: upcasters, same, others"),
        (
            "upcasters.register('order.placed', 3, 4, lambda data: data)",
            "events:upcasters is not complete: event 'order.placed' cannot be brought from version 1 to 4",
        ),
    ],
)
def test_upcasters_that_cannot_be_applied_are_refused_at_once(folder, more, complaint):
    (folder / "events.py").write_text(f"{EVENTS}{more}\n")

    with pytest.raises(UsageError) as refused:
        load_upcasters("events")

    assert complaint in str(refused.value)
