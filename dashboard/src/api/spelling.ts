// Enumerations as REST writes them: some in full (`STEP_STATUS_COMPLETED`), some short (`completed`). Pure.

const PREFIX = /^(?:RUN_STATUS|STEP_STATUS|STEP_TYPE|FUNCTION_STATUS|EXECUTION_MODE)_/;

/** The short form of either. */
export function shortForm<Value extends string>(value: Value): Value {
  return value.replace(PREFIX, "").toLowerCase() as Value;
}

type Snake<Name extends string> = Name extends `${infer First}${infer Rest}` ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${Snake<Rest>}` : "";
export type Spelled<Message> = { [Name in keyof Message as Snake<Name & string>]: Message[Name] };

/** A message whose members are spelled in camelCase, spelled as the others are. Members of members stay as they are. */
export function spelled<Message extends object>(message: Message): Spelled<Message> {
  const name = (each: string) => each.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(message).map(([key, value]) => [name(key), value as unknown])) as Spelled<Message>;
}
