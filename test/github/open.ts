/** A client of the tests' server, whose waiting takes no time. */
import { type Clock, type GitHub, openGitHub, type Pace } from '../../src/github/client.ts';
import type { FakeGitHub } from './server.ts';

export interface Opened extends GitHub {
  readonly warnings: string[];
  /** Every wait, in milliseconds. */
  readonly waits: number[];
}

export const HEAD = 'a'.repeat(40);

export function open(
  server: FakeGitHub,
  options: { readonly token?: string; readonly pace?: Partial<Pace>; readonly clock?: Clock } = {},
): Opened {
  const warnings: string[] = [];
  const waits: number[] = [];
  let passed = 0;
  const clock: Clock = {
    now: () => Date.now() + passed,
    async sleep(milliseconds) {
      waits.push(milliseconds);
      passed += milliseconds;
    },
  };
  const github = openGitHub({
    token: options.token ?? 'ghs_test',
    apiUrl: server.url,
    repository: server.state.repository,
    warn: (message) => warnings.push(message),
    clock: options.clock ?? clock,
    ...(options.pace === undefined ? {} : { pace: options.pace }),
  });
  return { ...github, warnings, waits };
}
