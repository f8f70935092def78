"""System notices about functions: `system.function.<id>.registered`, `.updated` and `.deleted`."""

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.features.functions.rules import FunctionRow


def function_notice(function: FunctionRow, verb: str) -> Notice:
    fields = {"id": function.id, "name": function.config.name, "version": function.version, "status": function.status}
    return Notice(function.environment, ("function", function.id, verb), write_json_text(fields), function.updated_at)
