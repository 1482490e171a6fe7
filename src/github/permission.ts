/**
 * What may go wrong with one output without costing another: a permission that is missing, a lock, GitHub's own
 * trouble. Each yields one warning that says what to do.
 * @module
 */
import { type ApiError, type GitHub, isApiError } from './client.ts';

export interface Output {
  /** To complete "… is missing": "the comment". */
  readonly what: string;
  /** The permission it takes, as YAML has it. */
  readonly permission: `${string}: ${'read' | 'write'}`;
}

/** `work`, or a warning and undefined where GitHub did not let it be done. Bugs, and the user's mistakes, pass through. */
export async function orWarn<T>(
  github: GitHub,
  output: Output,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isApiError(error)) throw error;
    github.warn(explain(output, error));
    return undefined;
  }
}

/** Why an output is missing, and what to do about it. */
export function explain({ what, permission }: Output, error: ApiError): string {
  const said = `${error.status} ${error.message.split('\n')[0].slice(0, 200)}`;
  const missing = `github: ${what} is missing; everything else goes on.`;
  if (error.status === 401) {
    return `${missing} GitHub does not know the token (${said}). Give the input token, or leave its default.`;
  }
  if (
    error.status === 403 &&
    /not accessible by|must have|permission|forbidden|write access/i.test(error.message)
  ) {
    return `${missing} ${lacking(permission, said)}`;
  }
  if (error.status === 403 && /lock/i.test(error.message)) {
    return `${missing} The conversation is locked (${said}). Unlock it and run again.`;
  }
  if (error.status === 403 || error.status === 429) {
    return `${missing} GitHub refused for now (${said}). Run again later.`;
  }
  if (error.status === 404) {
    return `${missing} GitHub found nothing there (${said}), or the token may not see it. ${lacking(permission, said)}`;
  }
  if (error.status >= 500) {
    return `${missing} GitHub did not answer as it should, several times (${said}). Run again.`;
  }
  return `${missing} GitHub would not take it (${said}). Please report this with the log.`;
}

function lacking(permission: Output['permission'], said: string): string {
  // A job that names any permission loses the rest: contents must be named for actions/checkout.
  const rest = permission.startsWith('contents:') ? '' : '  contents: read\n';
  return (
    `The token lacks "${permission}" (${said}). Add to the job, beside what it has:\n\n` +
    `permissions:\n${rest}  ${permission}\n\n` +
    "A fork's pull request gets a token that may only read, whatever the workflow says: report from a workflow_run job."
  );
}
