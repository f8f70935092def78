"""What a caller must be allowed to do, operation by operation: `python -m tests.structure.scopes` prints the table,
with the built-in roles that allow each scope.

The first column is an operation or a socket, the second its scope: dispatch requires it before the handler is called.
Below it are the scopes that the handler requires besides, for requests that make it act as another operation.
"""

from typing import NamedTuple

from ironflow.features.policies.in_tx import matches_action
from ironflow.features.roles.in_tx import BUILT_IN
from tests.structure.contracts import all_operations, all_sockets


class Asked(NamedTuple):
    scope: str
    besides: tuple[str, ...]


TABLE = """
api_keys.create                      apikeys:write
api_keys.delete                      apikeys:write
api_keys.explain                     policies:read
api_keys.get                         apikeys:read
api_keys.list                        apikeys:read
api_keys.rotate                      apikeys:write
api_keys.set_roles                   apikeys:write
audit.list                           audit:read
audit.settings                       audit:read
audit.trail                          audit:read
audit_notes.verify                   audit:verify
bulk.get                             runs:read
bulk.list                            runs:read
bulk.start                           runs:write
                                     runs:cancel
                                     runs:delete
bulk.stop                            runs:write
bulk.undo                            runs:write
config.delete                        config:write
config.get                           config:read
config.list                          config:read
config.patch                         config:write
config.set                           config:write
config.watch                         config:read
consumer_groups.ack                  groups:consume
consumer_groups.create               groups:write
consumer_groups.dead_letters         groups:read
consumer_groups.delete               groups:write
consumer_groups.extend               groups:consume
consumer_groups.get                  groups:read
consumer_groups.join                 groups:consume
                                     entities:read
consumer_groups.list                 groups:read
consumer_groups.patch                groups:write
consumer_groups.purge                groups:write
consumer_groups.replay               groups:write
consumer_groups.subscribe            groups:consume
                                     entities:read
consumer_groups.update               groups:write
controls.inject                      runs:write
controls.patch                       runs:write
controls.pause                       runs:write
controls.paused_state                runs:read
controls.resume                      runs:write
controls.retry                       runs:write
controls.stuck                       runs:read
controls.why                         runs:read
controls.why_many                    runs:read
deploys.registrations                functions:read
deploys.versions                     functions:read
deploys.move_runs                    runs:write
conversations.socket                 events:subscribe
                                     config:read
                                     entities:read
                                     functions:read
                                     groups:consume
                                     groups:write
                                     projections:read
                                     runs:read
                                     secrets:read
                                     workers:read
debounces.cancel                     runs:cancel
debounces.list                       runs:read
discovery.discover                   functions:write
                                     functions:read
endpoints.list_breakers              functions:read
endpoints.reset_breaker              functions:write
entities.get                         entities:read
entities.list                        entities:read
environment_deletions.get            environments:read
environment_deletions.list           environments:read
environments.create                  environments:write
environments.delete                  environments:write
environments.get                     environments:read
environments.list                    environments:read
environments.update                  environments:write
event_triggers.trigger               functions:invoke
                                     events:read
events.emit                          events:emit
events.emit_batch                    events:emit
events.emit_namespaced               events:emit
events.emit_sync                     events:emit
events.get                           events:read
events.import                        events:import
events.invoke                        functions:invoke
events.invoke_sync                   functions:invoke
events.list                          events:read
events.names                         events:read
functions.delete                     functions:write
functions.get                        functions:read
functions.list                       functions:read
functions.list_ticks                 functions:read
functions.register                   functions:write
functions.update_status              functions:write
jobs.ack                             workers:write
jobs.control                         workers:write
jobs.heartbeat                       workers:write
jobs.leave                           workers:write
jobs.list_workers                    workers:read
jobs.poll                            workers:write
jobs.register_worker                 workers:write
jobs.report                          workers:write
jobs.update                          workers:write
kv.create_bucket                     kv:write
kv.delete                            kv:write
kv.delete_bucket                     kv:write
kv.get                               kv:read
kv.get_bucket                        kv:read
kv.get_history                       kv:read
kv.list_buckets                      kv:read
kv.list_keys                         kv:read
kv.put                               kv:write
kv.watch                             kv:read
limits.delete                        limits:write
limits.list                          limits:read
limits.set                           limits:write
messages.answer                      workers:write
messages.ask                         runs:write
                                     functions:invoke
messages.list                        runs:read
messages.send                        runs:write
                                     functions:invoke
messages.take                        workers:write
oidc.begin                           public
oidc.end                             public
orgs.create                          orgs:write
orgs.delete                          orgs:write
orgs.get                             orgs:read
orgs.list                            orgs:read
orgs.update                          orgs:write
policies.create                      policies:write
policies.delete                      policies:write
policies.get                         policies:read
policies.install_template            policies:write
policies.list                        policies:read
policies.rollback                    policies:write
policies.templates                   policies:read
policies.try                         policies:read
policies.update                      policies:write
policies.versions                    policies:read
projections.ack                      projections:run
projections.acquire_lease            projections:run
projections.cancel_rebuild           projections:manage
projections.delete                   projections:manage
projections.envelope                 projections:read
projections.events                   projections:read
                                     events:read
projections.follow                   projections:run
projections.get                      projections:read
projections.get_rebuild              projections:read
projections.list                     projections:read
projections.partitions               projections:read
projections.pause                    projections:manage
projections.poll                     projections:run
projections.rebuild                  projections:manage
projections.rebuild_job              projections:read
projections.recorded                 projections:read
projections.register                 projections:run
projections.release_lease            projections:run
projections.renew_lease              projections:run
projections.resume                   projections:manage
projections.save                     projections:run
projections.save_many                projections:run
projections.start_rebuild            projections:manage
projections.status                   projections:read
projections.statuses                 projections:read
projections.unregister               projections:manage
projections.wait                     projections:read
projections.wait_batch               projections:read
projections.wait_for_event           projections:read
projections.wait_stream              projections:read
projects.create                      projects:write
projects.delete                      projects:write
projects.list                        projects:read
projects.update                      projects:write
pubsub.list_topics                   topics:read
pubsub.publish                       topics:publish
pubsub.topic_stats                   topics:read
push.report                          public
query.execute                        sql:query
                                     entities:read
                                     events:read
                                     functions:read
                                     projections:read
                                     runs:read
query.tables                         sql:query
redaction.event                      events:redact
                                     runs:redact
redaction.list                       audit:read
redaction.run                        runs:redact
                                     events:redact
redaction.step                       runs:redact
roles.assign_policy                  roles:write
roles.create                         roles:write
roles.delete                         roles:write
roles.get                            roles:read
roles.list                           roles:read
roles.remove_policy                  roles:write
roles.rename                         roles:write
run_logs.get                         runs:read
runs.cancel                          runs:cancel
runs.chain                           runs:read
runs.delete                          runs:delete
runs.get                             runs:read
runs.list                            runs:read
runs.steps                           runs:read
schedules.backfill                   schedules:write
                                     functions:invoke
schedules.change                     schedules:write
                                     functions:invoke
schedules.create                     schedules:write
                                     functions:invoke
schedules.delete                     schedules:write
schedules.get                        schedules:read
schedules.list                       schedules:read
schedules.list_ticks                 schedules:read
schedules.pause                      schedules:write
schedules.resume                     schedules:write
                                     functions:invoke
schedules.trigger                    schedules:write
                                     functions:invoke
schemas.check_events                 schemas:read
                                     events:read
schemas.delete                       schemas:write
schemas.get                          schemas:read
schemas.list                         schemas:read
schemas.register                     schemas:write
schemas.test_upcast                  schemas:read
schemas.upcast                       schemas:read
secrets.change                       secrets:write
secrets.create                       secrets:write
secrets.delete                       secrets:write
secrets.get                          secrets:read
secrets.list                         secrets:read
secrets.rekey                        secrets:rekey
secrets.set                          secrets:write
server.capabilities                  public
server.health                        public
server.info                          server:read
server.openapi                       server:read
server.ready                         public
server.rpc_health                    server:read
server.settings                      settings:read
sessions.current                     account:read
sessions.log_in                      public
sessions.log_out                     public
slots.list                           runs:read
sql_projections.cancel_rebuild       projections:manage
sql_projections.create               projections:manage
sql_projections.delete               projections:manage
sql_projections.get                  projections:read
sql_projections.list                 projections:read
sql_projections.pause                projections:manage
sql_projections.query                projections:read
sql_projections.rebuild              projections:manage
sql_projections.resume               projections:manage
statistics.failures                  runs:read
statistics.flows                     functions:read
                                     events:read
statistics.runs                      runs:read
streaming_workers.connect            workers:write
streams.append                       entities:append
streams.append_many                  entities:append
streams.create_snapshot              entities:append
streams.delete                       entities:delete
streams.flat_history                 entities:read
streams.get_snapshot                 entities:read
streams.history                      entities:read
                                     runs:read
streams.info                         entities:read
streams.list                         entities:read
streams.of_run                       entities:read
streams.read                         entities:read
subscriptions.subscribe              events:subscribe
                                     config:read
                                     entities:read
                                     functions:read
                                     groups:consume
                                     groups:write
                                     projections:read
                                     runs:read
                                     secrets:read
                                     workers:read
subscriptions.watch                  events:subscribe
                                     config:read
                                     entities:read
                                     functions:read
                                     projections:read
                                     runs:read
                                     secrets:read
                                     workers:read
tenants.list                         orgs:read
tenants.provision                    tenants:write
time_travel.state_at                 runs:read
time_travel.step_output              runs:read
time_travel.step_output_at           runs:read
time_travel.timeline                 runs:read
users.change_password                account:write
users.create                         users:write
users.delete                         users:write
users.disable                        users:write
                                     apikeys:write
users.enable                         users:write
users.end_sessions                   users:write
users.get                            users:read
users.list                           users:read
users.update                         users:write
values.get                           runs:read
values.list                          runs:read
webhook_deliveries.get               webhooks:read
webhook_deliveries.list              webhooks:read
webhooks.create                      webhooks:write
webhooks.delete                      webhooks:write
webhooks.disable_verification        webhooks:write
webhooks.expire_previous             webhooks:write
webhooks.get                         webhooks:read
webhooks.ingest                      public
webhooks.list                        webhooks:read
webhooks.replay                      webhooks:write
webhooks.rotate_secret               webhooks:write
webhooks.rotate_token                webhooks:write
webhooks.test                        webhooks:write
webhooks.update                      webhooks:write
"""


def declared() -> dict[str, Asked]:
    """The scopes of every declared operation and socket, by its name."""
    every = [*all_operations(), *all_sockets()]
    return {each.name: Asked(each.scope, tuple(sorted(each.asks))) for each in every}


def recorded() -> dict[str, Asked]:
    """The same, as TABLE has it."""
    found: dict[str, Asked] = {}
    for line in TABLE.strip().splitlines():
        if line.startswith(" "):
            name, asked = found.popitem()
            found[name] = Asked(asked.scope, (*asked.besides, *line.split()))
        else:
            name, scope = line.split()
            found[name] = Asked(scope, ())
    return found


def roles_of(scope: str) -> tuple[str, ...]:
    """The built-in roles that allow a scope, such as `admin`."""
    return tuple(
        role.removeprefix("role_")
        for role, actions in BUILT_IN.items()
        if scope == "public" or any(matches_action(pattern, scope) for pattern in actions.split(", "))
    )


def text_with_roles(scopes: dict[str, Asked]) -> str:
    lines: list[str] = []
    for name, asked in sorted(scopes.items()):
        for index, scope in enumerate((asked.scope, *asked.besides)):
            roles = "without a key" if scope == "public" else ", ".join(roles_of(scope))
            lines.append(f"{'' if index else name:<36} {scope:<24} {roles}")
    return "\n".join(lines)


def text(scopes: dict[str, Asked]) -> str:
    lines: list[str] = []
    for name, asked in sorted(scopes.items()):
        lines.append(f"{name:<36} {asked.scope}")
        lines += [f"{'':<36} {scope}" for scope in asked.besides]
    return "\n".join(lines)


if __name__ == "__main__":
    print(text_with_roles(declared()))
