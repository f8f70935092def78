"""`ironflow policy`: rules that allow or deny."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, table
from ironflow.cli.terminal.times import time_text
from ironflow.features.policies import contract as policies

app = App("policy", help="Create policies, which allow or deny actions.")

versions = App("versions", help="Show what a policy was.")
template = App("template", help="Install policies that are often needed.")
app.command(versions)
app.command(template)

PolicyId = Annotated[str, Parameter(help="The policy's id, such as policy_06DGK3….")]


@app.command(name="list")
def list_(*, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the policies."""
    answer = cli.call(policies.list_, policies.ListPolicies(limit=limit, cursor=cursor, paged=True))
    cli.show(
        answer,
        lambda: table(
            ["ID", "NAME", "EFFECT", "ACTIONS", "RESOURCES", "CONDITION"],
            (
                [each.id, each.name, each.effect, each.actions, each.resources, each.condition]
                for each in answer.policies
            ),
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def get(policy_id: PolicyId, /, *, cli: Injected) -> None:
    """Show a policy."""
    answer = cli.call(policies.get, policies.NamedPolicy(id=policy_id))
    cli.show(
        answer,
        lambda: facts(
            [
                ("policy", answer.id),
                ("name", answer.name),
                ("effect", answer.effect),
                ("actions", answer.actions),
                ("resources", answer.resources),
                ("condition", answer.condition or None),
                ("updated", time_text(answer.updated_at)),
            ]
        ),
    )


@app.command
def create(
    *,
    name: str,
    effect: str = "allow",
    actions: str,
    resources: str = "*",
    condition: str = "",
    cli: Injected,
) -> None:
    """Create a policy.

    Args:
        name: The policy's name.
        effect: allow or deny; a deny wins.
        actions: Scopes or patterns, separated by commas, such as events:emit or runs:*.
        resources: Patterns of what they are done to, separated by commas: events/order.*.
        condition: A CEL condition over request, subject and now.
    """
    request = policies.CreatePolicy(name=name, effect=effect, actions=actions, resources=resources, condition=condition)
    answer = cli.call(policies.create, request)
    cli.show(answer, lambda: f"created policy {answer.id}")


@app.command
def update(
    policy_id: PolicyId,
    /,
    *,
    name: str | None = None,
    effect: str | None = None,
    actions: str | None = None,
    resources: str | None = None,
    condition: str | None = None,
    clear_condition: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> None:
    """Change a policy. What is not given stays.

    Args:
        name: The policy's name.
        effect: allow or deny.
        actions: Scopes or patterns, separated by commas.
        resources: Patterns of resources, separated by commas.
        condition: A CEL condition.
        clear_condition: Remove the condition.
    """
    if clear_condition and condition:
        raise UsageError("--condition and --clear-condition exclude each other.")
    request = policies.UpdatePolicy(
        id=policy_id,
        name=name,
        effect=effect,
        actions=actions,
        resources=resources,
        condition="" if clear_condition else condition,
    )
    answer = cli.call(policies.update, request)
    cli.show(answer, lambda: f"changed policy {answer.id}")


@app.command
def delete(
    policy_id: PolicyId, /, *, yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False, cli: Injected
) -> None:
    """Delete a policy and take it from every role.

    Args:
        yes: Do not ask for confirmation.
    """
    if not yes and not cli.confirm(f"Delete the policy {policy_id}?"):
        raise UsageError(f"the policy {policy_id} is unchanged. Add --yes to delete it.")
    cli.send(policies.delete, policies.NamedPolicy(id=policy_id))
    cli.show({"deleted": policy_id}, lambda: f"deleted {policy_id}")


@app.command(name="test")
def try_(
    *,
    condition: str = "",
    policy_id: str = "",
    request: str = "{}",
    subject: str = "{}",
    request_file: Path | None = None,
    subject_file: Path | None = None,
    cli: Injected,
) -> None:
    """Evaluate a condition with given values.

    Args:
        condition: A CEL condition.
        policy_id: Id of a policy, instead of a condition.
        request: The fields of the request, as a JSON object.
        subject: The caller: key, roles and org, as a JSON object.
        request_file: A file with the request, instead of --request.
        subject_file: A file with the subject, instead of --subject.
    """
    if bool(condition) == bool(policy_id):
        raise UsageError("name either a --condition or a --policy-id.")
    asked = policies.TryPolicy(
        condition=condition,
        policy_id=policy_id,
        request=_object(request if request_file is None else _content(request_file)),
        subject=_object(subject if subject_file is None else _content(subject_file)),
    )
    answer = cli.call(policies.try_, asked)
    held = "holds" if answer.holds else "does not hold" if answer.decided else "cannot be decided"
    cli.show(answer, lambda: f"the condition {held}; effect: {answer.effect}")


@versions.command(name="list")
def list_versions(policy_id: PolicyId, /, *, before: int = 0, limit: Limit = 100, cli: Injected) -> None:
    """List the versions of a policy, newest first.

    Args:
        before: Only versions below this one; 0 for all.
    """
    answer = cli.call(policies.versions, policies.ListVersions(id=policy_id, before=before, limit=limit))
    cli.show(
        answer,
        lambda: table(
            ["VERSION", "NAME", "EFFECT", "ACTIONS", "RESOURCES", "CONDITION", "BY", "SINCE"],
            (
                [
                    f"{each.version}{' *' if each.current else ''}",
                    each.name,
                    each.effect,
                    each.actions,
                    each.resources,
                    each.condition,
                    each.changed_by,
                    time_text(each.changed_at),
                ]
                for each in answer.versions
            ),
        ),
    )
    note_more(cli, answer.next_before, "--before")


@app.command
def rollback(policy_id: PolicyId, version: int, /, *, cli: Injected) -> None:
    """Make a policy what it was at a version. It becomes a new version.

    Args:
        version: The version, as `policy versions list` shows it.
    """
    answer = cli.call(policies.rollback, policies.RollbackPolicy(id=policy_id, version=version))
    cli.show(answer, lambda: f"policy {answer.id} is as it was at version {version}, now version {answer.version}")


@template.command(name="list")
def list_templates(*, cli: Injected) -> None:
    """List the templates."""
    answer = cli.call(policies.templates, policies.ListTemplates())
    cli.show(
        answer,
        lambda: table(
            ["TEMPLATE", "EFFECT", "ACTIONS", "DESCRIPTION"],
            ([each.name, each.effect, each.actions, each.description] for each in answer.templates),
        ),
    )


@template.command(name="install")
def install_template(
    name: Annotated[str, Parameter(help="The template's name, such as emit-only.")],
    /,
    *,
    policy_name: Annotated[str, Parameter(name="--name")] = "",
    cli: Injected,
) -> None:
    """Create a policy from a template.

    Args:
        policy_name: Another name for the policy.
    """
    answer = cli.call(policies.install, policies.InstallTemplate(template=name, name=policy_name))
    cli.show(answer, lambda: f"created policy {answer.id}")


def _content(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"{file} cannot be read: {fault}.") from None


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as fault:
        raise UsageError(f"{text[:60]!r} is not a JSON object: {fault}.") from None
