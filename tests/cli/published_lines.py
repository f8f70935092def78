"""Every published command line, in the order of protocol/operating.md 1, with the exit code that it has on our server.

Names in braces are filled by the test.
"""

from typing import NamedTuple


class Line(NamedTuple):
    """code: the expected exit code. sentence: a part of the sentence of a refusal, on standard error."""

    text: str
    code: int = 0
    sentence: str = ""
    stdin: str = ""


DATA = """'{{"name":"ada"}}'"""
REFUSED = 2
NOT_FOUND = 4
WRONG_STATE = 5
TIMED_OUT = 75

LINES = [
    # The program's own flags, only before the command.
    Line("--version"),
    Line("--help"),
    Line("nonsense --version 2", REFUSED, "Unknown command"),
    Line("nonsense --help", REFUSED, "Unknown command"),
    Line("run nonsense --version", REFUSED, "Unknown command"),
    Line("function list extra", REFUSED, "extra"),
    Line("run list --nonsense", REFUSED, "Unknown option"),
    Line("-v function list"),
    Line("function list --json --verbose"),
    Line("function list --as-org other", REFUSED, "without --as-org"),
    # emit, invoke
    Line(f"emit visitor.arrived --data {DATA}"),
    Line("emit visitor.arrived --data-file {visitor} --metadata shop=north --metadata till=2"),
    Line(f'emit visitor.arrived --data {DATA} --metadata \'{{{{"shop":"north"}}}}\' --version 1'),
    Line(f"emit visitor.arrived --data {DATA} --idempotency-key once"),
    Line(f"emit visitor.arrived --data {DATA} --wait --timeout 60s"),
    Line("invoke add --data [1,2]"),
    Line("invoke add --data-file {numbers} --timeout 30s --json"),
    Line("invoke add --data [1] --no-wait"),
    # run
    Line("run list"),
    Line("run list 'status:completed since:1h function:greet'"),
    Line("run list nonsense:x", REFUSED, "not a filter"),
    Line("run list --status completed --function greet --limit 5 --json"),
    Line("run get {run}"),
    Line("run pause {waiting}"),
    Line("run paused-state {waiting}"),
    Line("run inject {waiting} price --output 90 --reason 'a rebate'"),
    Line("run resume {waiting}"),
    Line("run cancel {waiting} --reason 'no answer'"),
    Line("run resume {failed} --from-step knock"),
    Line("run redact-step {step} --yes"),
    Line("run redact {run} --yes"),
    Line("run delete missing --yes", NOT_FOUND),
    Line("run delete {waiting}", REFUSED, "--yes"),
    Line("run delete {waiting} --yes"),
    Line("run prune --yes", REFUSED, "at least one of"),
    Line("run prune --status failed --before 30d --function greet --yes"),
    Line("inspect {recorded}"),
    Line("inspect {recorded} --at +1h"),
    Line("inspect {recorded} --replay"),
    Line("inspect {recorded} --replay --all-events --json"),
    # With a run that is there it listens until Ctrl-C; tests/debugging/test_adapter.py.
    Line("inspect run_none --dap --dap-port 5678", 4, "There is no run"),
    # function
    Line("function list"),
    Line("function get greet"),
    # projection
    Line(
        "projection create published --sql 'CREATE TABLE proj_published (name TEXT)' --event visitor.arrived"
        " --event-handler 'visitor.arrived=INSERT INTO proj_published VALUES (:data.name)'"
    ),
    Line(
        "projection create filed --sql-file {table}"
        " --event-handler 'visitor.arrived=INSERT INTO proj_filed VALUES (:data.name)'"
    ),
    Line("projection create x --sql-file {table} --event a.b --event-handler c.d=x", REFUSED, "no --event-handler"),
    Line("projection list"),
    Line("projection get published"),
    Line("projection get missing --partition a", NOT_FOUND),
    Line("projection status published"),
    # A projection with a state: tests/cli/test_projection_commands.py.
    Line("projection watch published --replay 1", REFUSED, "sql-projection query"),
    Line("projection watch missing --replay 1", NOT_FOUND),
    Line("projection wait published --min-seq 1 --timeout 30s"),
    Line("projection wait published --min-seq 1 --timeout 30s --stream"),
    Line("projection wait-for-event {event} --projection published"),
    Line("projection wait-batch --file {batch}"),
    Line("projection wait-batch --file -", 0, "", '[{"name": "published", "min_seq": 1}]'),
    Line("projection wait-batch --file {numbers}", REFUSED, "JSON list"),
    Line("projection rebuild published --dry-run"),
    Line("projection rebuild missing --from {event} --to {event} --partition a", NOT_FOUND),
    Line("projection rebuild published"),
    Line("projection rebuild cancel missing", NOT_FOUND),
    Line("projection pause published"),
    Line("projection resume published"),
    Line("projection durables prune", REFUSED, "projection delete"),
    Line("projection delete published --yes"),
    # stream
    Line(f"stream append order-7 --type order --event order.placed --data {DATA} --expected-version 0"),
    Line(f"stream append order-7 --type order --event order.paid --data {DATA} --idempotency-key paid-once"),
    Line("stream append order-7 --type order", REFUSED, "event's name"),
    Line("stream list --type order --limit 10"),
    Line("stream read order-7 --from-version 1 --direction forward"),
    Line("stream read order-7 --direction backward"),
    Line("stream info order-7"),
    Line("stream subscribe order-7 --replay 2 --metadata --count 2"),
    # subscribe
    Line("subscribe entity:order.order-7.> --replay 2 --count 2"),
    Line("subscribe entity:order.order-7.> entity:order.*.> --replay 2 --json --metadata --count 2"),
    Line("stream delete order-7", REFUSED, "--yes"),
    Line("stream delete order-7 --yes"),
    Line("stream delete order-7 --purge --yes"),
    Line(f"stream append order-7 --event order.paid --data {DATA}", WRONG_STATE, "was deleted"),
    # event
    Line("event schema register order.placed --version 2 --file {schema}"),
    Line("event schema list"),
    Line("event schema list --event order.placed"),
    Line("event schema get order.placed --version 2"),
    Line("event schema check order.placed"),
    Line("event upcast order.placed --from 2 --to 2 --data {{}}"),
    Line("event schema delete order.placed --version 2"),
    Line("event redact {event} --yes"),
    # topic
    Line(f"topic publish mail.sent --data {DATA} --idempotency-key first"),
    Line("topic list"),
    Line("topic stats mail.sent"),
    # debounce
    Line("debounce list"),
    Line("debounce cancel gather {lane_key} --env default"),
    Line("debounce cancel gather missing", NOT_FOUND),
    # sql
    *(
        Line(f"sql 'SELECT id, function_id, status, error, started_at FROM runs' --format {form}")
        for form in ("table", "json", "csv", "jsonl")
    ),
    Line("sql 'SELECT run_id, step_id, status, error, created_at FROM steps' --max-rows 10 --timeout 5000"),
    Line("sql 'SELECT id, name, source, timestamp FROM events' --timeout 5s --json"),
    Line("sql 'SELECT 1' --format xml", REFUSED),
    # about
    Line("server info"),
    Line("server info --json"),
    Line("version"),
    Line("version --json"),
    # files
    Line("config init"),
    Line("config init", WRONG_STATE, "exists"),
    Line("config init --kind cluster --prod --output cluster.yaml"),
    Line("config init --kind platform", REFUSED, "environment for each tenant"),
    Line("validate -f ironflow.yaml"),
    Line("validate -f cluster.yaml"),
    Line("validate -f {numbers}", REFUSED, "kind: Server"),
    Line("init shop --skip-install"),
    Line("init other --template nextjs", REFUSED, "--template python"),
    # doors
    Line("apikey create published"),
    Line("apikey create published --platform", REFUSED, "role_admin"),
    Line("apikey list"),
    Line("apikey rotate {key}"),
    Line("apikey delete {key} --yes"),
    Line("env create published"),
    Line("env create other --project proj_default"),
    Line("env create third --project missing", NOT_FOUND),
    Line("env list"),
    Line("env delete published --yes"),
    Line("role list"),
    Line("role create clerk"),
    Line("role create guard --org org_default"),
    Line("role get {role}"),
    Line("policy create --name readers --effect allow --actions runs:read --resources '*'"),
    Line("policy list"),
    Line("policy get {policy}"),
    Line("role assign-policy {role} {policy}"),
    Line("role remove-policy {role} {policy}"),
    Line("policy update {policy} --clear-condition"),
    Line("policy test --condition true --request '{{}}' --subject '{{}}'"),
    Line("policy test --policy-id {policy} --request-file {object} --subject-file {object}"),
    Line("policy versions list {policy}"),
    Line("policy rollback {policy} 1"),
    Line("policy rollback {policy} 99", NOT_FOUND),
    Line("policy template list"),
    Line("policy template install emit-only"),
    Line("policy template install missing", NOT_FOUND),
    Line("policy delete {policy} --yes"),
    Line("role delete {role} --yes"),
    Line("org list"),
    Line("org create acme"),
    Line("org get org_default"),
    Line("org delete missing --yes", NOT_FOUND),
    Line("project list"),
    Line("project create shop"),
    Line("project delete missing --yes", NOT_FOUND),
    Line("tenant list"),
    Line("tenant provision --name provisioned --env provisioned"),
    Line("secret set K V --env default"),
    Line("secret list"),
    Line("secret get K"),
    Line("secret delete K --yes"),
    Line("audit trail {recorded}"),
    Line("audit auth-trail --org org_default"),
    Line("audit auth-trail --org missing", REFUSED, "no organisation"),
    # push and webhooks
    Line("webhook list"),
    Line("webhook deliveries --provider missing --status failed --limit 5", NOT_FOUND),
    Line("webhook test --provider missing --payload '{{}}' --token t", NOT_FOUND),
    Line("circuit-breaker list"),
    Line("circuit-breaker reset missing", NOT_FOUND),
    # Refused, each in a sentence that names what takes its place.
    Line("outbox dlq list", REFUSED, "ironflow group dead"),
    Line("outbox --help", REFUSED, "ironflow group dead"),
    *(
        Line(f"capacity {each}", REFUSED, "ironflow run why")
        for each in ("stats", "lanes", "queue", "leases", "sessions", "credits")
    ),
    Line("mcp", REFUSED, "REST API"),
    Line("skills install", REFUSED, "ironflow init"),
    Line("deploy --prod", REFUSED, "ironflow worker"),
    Line("provision", REFUSED, "ironflow env create"),
    Line("cloud login", REFUSED, "ironflow serve"),
    Line("platform init", REFUSED, "ironflow env create"),
]
