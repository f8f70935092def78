"""GitHub's webhooks become events that start functions: a push starts a build, and a build reports what it did."""

from typing import Any

from ironflow import Context, function


@function("build", on="github.push", when="data.ref == 'refs/heads/main'")
async def build(ctx: Context, push: dict[str, Any]) -> dict[str, str]:
    """Builds what was pushed to main. Started once for each delivery, however often GitHub sends it."""
    commit = push["after"]
    artifact = await ctx.step.run("compile", compile_commit, push["repository"]["full_name"], commit)
    await ctx.step.run("report", report, commit, artifact)
    return {"commit": commit, "artifact": artifact}


@function("greet-contributor", on="github.pull_request", when="data.action == 'opened'")
async def greet(ctx: Context, opened: dict[str, Any]) -> str:
    return f"Thank you, {opened['pull_request']['user']['login']}!"


def compile_commit(repository: str, commit: str) -> str:
    return f"{repository.replace('/', '-')}-{commit[:7]}.tar.gz"


def report(commit: str, artifact: str) -> None:
    print(f"built {artifact} of {commit[:7]}", flush=True)


functions = [build, greet]
