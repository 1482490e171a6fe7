/**
 * The settings of the configuration's table as flags of the command line.
 * @module
 */
import { type Command, type CommanderError, Option } from 'commander';
import { type Setting, settings, unwrapped } from './config.ts';

/** Settings by key, or all of a section; without keys, all there are. */
export function pick(...keys: readonly string[]): Setting[] {
  return settings.filter(
    ({ key }) => keys.length === 0 || keys.some((k) => key === k || key.startsWith(`${k}.`)),
  );
}

/** Adds a flag for each setting, and examples after the help. */
export function withFlags(command: Command, list: readonly Setting[], ...lines: readonly string[]): void {
  for (const setting of list) command.addOption(optionOf(setting));
  command.addHelpText('after', examples(...lines));
}

/** The flags that were written, by the setting's flag name, from what Commander made of them. */
export function written(
  parsed: Readonly<Record<string, unknown>>,
  list: readonly Setting[],
): Record<string, string> {
  return Object.fromEntries(
    list.flatMap((setting) => {
      const value = parsed[optionOf(setting).attributeName()];
      return value === undefined ? [] : [[setting.flag, String(value)]];
    }),
  );
}

export const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;

/**
 * Commander's complaint about a command line as one sentence that names the nearest verb or flag; none for help and
 * version, which Commander throws as well.
 */
export function complaintOf(error: CommanderError): string | undefined {
  if (error.exitCode === 0 || error.code === 'commander.help') return undefined;
  const [complaint, suggestion] = error.message.replace(/^error: /, '').split('\n');
  const meant = suggestion?.match(/\(Did you mean (.+)\?\)/)?.[1];
  const hint = meant === undefined ? 'Run "ziplm --help".' : `Did you mean ${meant}?`;
  return `ziplm: ${complaint.replace(/\.$/, '')}. ${hint}`;
}

/** Values stay texts without a default: the table checks them and fills in what is not written. */
function optionOf({ flag, help, isPath, schema }: Setting): Option {
  const { def } = unwrapped(schema)._zod;
  const choices = 'entries' in def ? Object.values(def.entries as Record<string, string>) : [];
  const standard = schema.safeParse(undefined);
  const facts = [
    ...(choices.length > 1 ? [`one of ${choices.join(', ')}`] : []),
    ...(standard.success && standard.data !== undefined ? [`default: ${String(standard.data)}`] : []),
  ];
  const value = isPath
    ? 'path'
    : def.type === 'string'
      ? 'text'
      : def.type === 'array'
        ? 'list'
        : choices.length > 0
          ? 'choice'
          : def.type;
  return new Option(
    `--${flag} <${value}>`,
    facts.length === 0 ? help : `${help.replace(/\.$/, '')} (${facts.join('; ')})`,
  );
}
