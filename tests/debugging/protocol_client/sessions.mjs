// Sessions of the Debug Adapter Protocol's own test client: one for each request that the adapter answers.
// Argument: {port, runtime, script, runs, file} as JSON. Prints `NAME: ok` or `NAME: FAILED: …` for each session.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const given = JSON.parse(process.argv[2]);
const { runs, file } = given;
const require = createRequire(join(process.env.DEBUG_CLIENT_MODULES, "package.json"));
const { DebugClient } = require("@vscode/debugadapter-testsupport");

const WAIT_MS = 20_000;
const SESSION_MS = 40_000;
const ALL_MS = 150_000;

/** The client waits for ever by itself: over TCP it has no time-outs. */
async function within(promise, what, ms = WAIT_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A client whose events are kept from the first on, so that none is missed. */
class Session {
  constructor(client) {
    this.client = client;
    this.seen = {};
    this.waiting = {};
    for (const name of ["initialized", "stopped", "continued", "terminated", "output", "breakpoint", "invalidated"]) {
      this.seen[name] = [];
      client.on(name, (event) => {
        this.seen[name].push(event.body);
        this.waiting[name]?.();
      });
    }
  }

  async ask(command, args = {}) {
    const own = this.client[`${command}Request`];
    const sent = own ? own.call(this.client, args) : this.client.customRequest(command, args);
    return (await within(sent, command)).body;
  }

  /** The next event by that name that was not taken so far. */
  async event(name) {
    const arrived = new Promise((resolve) => {
      this.waiting[name] = () => this.seen[name].length && resolve();
      this.waiting[name]();
    });
    await within(arrived, `event ${name}`);
    return this.seen[name].shift();
  }

  async begin(how, args) {
    await this.ask("initialize", { adapterID: "ironflow", linesStartAt1: true, columnsStartAt1: true });
    await this.event("initialized");
    await this.ask(how, args);
    await this.ask("configurationDone");
  }

  /** At the first moment of the run that has completed, or at another place or run. */
  async launched(args = {}) {
    await this.begin("launch", { run: runs.done, ...args });
    return await this.event("stopped");
  }

  async move(command, args = {}) {
    await this.ask(command, { threadId: 1, ...args });
    return await this.event("stopped");
  }

  async frames(threadId = 1) {
    return (await this.ask("stackTrace", { threadId })).stackFrames;
  }

  async outputs() {
    const { scopes } = await this.ask("scopes", { frameId: (await this.frames())[0].id });
    return scopes.find((each) => each.name === "Outputs").variablesReference;
  }

  async history() {
    return (await this.ask("loadedSources")).sources[0];
  }
}

const sessions = {
  async initialize(it) {
    const capabilities = await it.ask("initialize", { adapterID: "ironflow" });
    assert.equal(capabilities.supportsStepBack, true);
    await it.event("initialized");
  },

  async launch(it) {
    const stop = await it.launched({ at: "confirm" });
    assert.equal(stop.reason, "entry");
    assert.match(stop.description, /'confirm' completed/);
  },

  async attach(it) {
    await it.begin("attach", { run: runs.failed });
    assert.match((await it.event("stopped")).description, /card declined/);
  },

  async configurationDone(it) {
    await it.ask("initialize", { adapterID: "ironflow" });
    await it.ask("launch", { run: runs.done });
    await it.ask("setFunctionBreakpoints", { breakpoints: [] });
    assert.deepEqual(it.seen.stopped, []);
    await it.ask("configurationDone");
    assert.equal((await it.event("stopped")).reason, "entry");
  },

  async disconnect(it) {
    await it.launched();
    const closed = new Promise((resolve) => it.client._socket.once("close", resolve));
    await it.ask("disconnect");
    await within(closed, "the end of the connection");
  },

  async setBreakpoints(it) {
    const hit = it.client.hitBreakpoint({ run: runs.done, stopOnEntry: false }, { path: file, line: 20 });
    await within(hit, "the breakpoint");
    const source = { path: file };
    const { breakpoints } = await it.ask("setBreakpoints", { source, breakpoints: [{ line: 11 }, { line: 21 }] });
    assert.deepEqual(breakpoints.map((each) => [each.line, each.verified]), [[20, true], [21, false]]);
  },

  async setFunctionBreakpoints(it) {
    await it.launched();
    const wanted = [{ name: "charge", condition: "step.output.amount == 30" }];
    assert.equal((await it.ask("setFunctionBreakpoints", { breakpoints: wanted })).breakpoints[0].verified, true);
    assert.equal((await it.move("continue")).reason, "function breakpoint");
  },

  async setExceptionBreakpoints(it) {
    await it.launched({ run: runs.failed });
    await it.ask("setExceptionBreakpoints", { filters: ["any"] });
    const stop = await it.move("continue");
    assert.deepEqual([stop.reason, stop.text], ["exception", "card declined"]);
  },

  async setVariable(it) {
    await it.begin("attach", { run: runs.patched });
    await it.event("stopped");
    const change = { variablesReference: await it.outputs(), name: "reserve", value: '{"table": 13} // a better table' };
    assert.equal((await it.ask("setVariable", change)).value, '{"table":13}');
    assert.match((await it.event("stopped")).description, /a better table/);
  },

  async restartFrame(it) {
    await it.begin("attach", { run: runs.restarted });
    await it.event("stopped");
    await it.ask("restartFrame", { frameId: (await it.frames())[0].id });
    assert.match((await it.event("output")).output, /^Resumed/);
    await it.event("continued");
  },

  async threads(it) {
    await it.launched({ at: "end" });
    const { threads } = await it.ask("threads");
    assert.deepEqual(threads.map((each) => each.name), [runs.done, "pay[0]", "pay[1]"]);
  },

  async stackTrace(it) {
    await it.launched({ at: "confirm" });
    const [step, run] = await it.frames();
    assert.deepEqual([step.name, step.line, step.source.path], ["confirm (completed)", 20, file]);
    assert.equal(run.source.sourceReference > 0, true);
  },

  async scopes(it) {
    await it.launched();
    const { scopes } = await it.ask("scopes", { frameId: (await it.frames())[0].id });
    const names = scopes.map((each) => each.name);
    for (const name of ["Outputs", "Event", "Run", "Attempts", "Waits", "Secrets"]) assert.ok(names.includes(name), name);
  },

  async variables(it) {
    await it.launched({ at: "confirm" });
    const { variables } = await it.ask("variables", { variablesReference: await it.outputs() });
    const reserve = variables.find((each) => each.name === "reserve");
    const inside = await it.ask("variables", { variablesReference: reserve.variablesReference });
    assert.deepEqual(inside.variables.map((each) => [each.name, each.value]), [["table", "12"]]);
  },

  async evaluate(it) {
    await it.launched({ at: "end" });
    assert.equal((await it.ask("evaluate", { expression: "outputs.reserve.table + 1" })).result, "13");
    await assert.rejects(it.ask("evaluate", { expression: "outputs.nothing" }), /no value here/);
  },

  async completions(it) {
    await it.launched({ at: "end" });
    const { targets } = await it.ask("completions", { text: "outputs.res", column: 12 });
    assert.ok(targets.some((each) => each.label === "reserve"));
  },

  async exceptionInfo(it) {
    await it.launched({ run: runs.failed, at: "failure" });
    const found = await it.ask("exceptionInfo", { threadId: 1 });
    assert.deepEqual([found.exceptionId, found.description], ["DECLINED", "card declined"]);
  },

  async source(it) {
    await it.launched();
    const source = await it.history();
    const { content } = await it.ask("source", { source, sourceReference: source.sourceReference });
    assert.match(content, /'reserve' completed/);
  },

  async loadedSources(it) {
    await it.launched();
    assert.equal((await it.history()).name, `${runs.done}.history`);
  },

  async breakpointLocations(it) {
    await it.launched();
    const { breakpoints } = await it.ask("breakpointLocations", { source: { path: file }, line: 1, endLine: 99 });
    assert.deepEqual(breakpoints, [{ line: 10 }, { line: 20 }]);
  },

  async continue(it) {
    await it.launched();
    assert.match((await it.move("continue")).description, /The run has ended: completed/);
    await it.ask("continue", { threadId: 1 });
    await it.event("terminated");
  },

  async reverseContinue(it) {
    await it.launched({ at: "end" });
    await it.ask("setFunctionBreakpoints", { breakpoints: [{ name: "reserve" }] });
    assert.match((await it.move("reverseContinue")).description, /'reserve' completed/);
    assert.equal((await it.move("reverseContinue")).reason, "entry");
  },

  async next(it) {
    await it.launched();
    await it.move("next");
    assert.match((await it.move("next")).description, /'reserve' completed/);
  },

  async stepIn(it) {
    await it.launched();
    assert.equal((await it.move("stepIn")).reason, "step");
  },

  async stepOut(it) {
    await it.launched();
    assert.equal((await it.move("stepOut")).reason, "step");
  },

  async stepBack(it) {
    await it.launched({ at: "confirm" });
    assert.match((await it.move("stepBack")).description, /'charge' completed/);
  },

  async pause(it) {
    await it.begin("attach", { run: runs.live });
    assert.equal((await it.move("pause")).reason, "pause");
    assert.equal((await it.ask("continue", { threadId: 1 })).allThreadsContinued, true);
  },

  async gotoTargets(it) {
    await it.launched();
    const { targets } = await it.ask("gotoTargets", { source: await it.history(), line: 2 });
    assert.deepEqual(targets.map((each) => each.line), [2]);
  },

  async goto(it) {
    await it.launched();
    const { targets } = await it.ask("gotoTargets", { source: await it.history(), line: 3 });
    assert.equal((await it.move("goto", { targetId: targets[0].id })).reason, "goto");
    assert.equal((await it.frames()).at(-1).line, 3);
  },
};

/** The same client, with an adapter that it starts and ends itself. */
async function overStdio(it) {
  await it.launched();
  await it.ask("setExceptionBreakpoints", { filters: [] });
  assert.match((await it.move("next")).description, /began/);
}

async function run(name, session, port) {
  const client = new DebugClient(given.runtime, given.script, "ironflow");
  client.defaultTimeout = WAIT_MS;
  let adapter, socket;
  try {
    await within(client.start(port), "the start");
    adapter = client._adapterProcess;
    socket = client._socket;
    await within(session(new Session(client)), `session ${name}`, SESSION_MS);
    console.log(`${name}: ok`);
  } catch (fault) {
    process.exitCode = 1;
    console.log(`${name}: FAILED: ${fault.stack ?? fault}`);
  } finally {
    await within(client.stop(), "disconnect", 2_000).catch(() => {});
    socket?.destroy();
    adapter?.kill("SIGKILL");
  }
}

const limit = setTimeout(() => {
  console.log(`all: FAILED: not done within ${ALL_MS} ms`);
  process.exit(2);
}, ALL_MS);
for (const [name, session] of Object.entries(sessions)) await run(name, session, given.port);
await run("stdio", overStdio);
clearTimeout(limit);
process.exit();
