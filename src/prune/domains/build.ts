/**
 * The database of one block from several domains: levels from the domains' common Hessian, and beside them what each domain
 * says of them.
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Block } from '../../structure/block.ts';
import { mean } from '../../tensor/statistics.ts';
import { buildLevels, openLevels } from '../database.ts';
import type { Moments } from '../hessian.ts';
import type { Kernels } from '../kernels.ts';
import { sampledLevels } from '../sensitivity.ts';
import { type Combine, equalWeights, mixture, worstWeights } from './mixture.ts';
import { agreement, domainErrors, ranksOf, saliencies } from './robustness.ts';

/** What the domains say of one block. */
export interface DomainFacts {
  /** Of each domain in the Hessian, together 1. */
  readonly weights: readonly number[];
  /** Some levels, and the error of each in every domain. */
  readonly levels: readonly { readonly level: number; readonly errors: readonly number[] }[];
  /** Structures that rank high in every domain; only of a block that is whole. */
  readonly important?: readonly number[];
  /** Structures whose rank is about the same in every domain; only of a block that is whole. */
  readonly agreeing?: readonly number[];
}

const FACTS = 'domains.json';

/**
 * As `buildLevels`, from the moments of several domains.
 * @returns the damping that was used
 */
export async function buildFromDomains(
  block: Pick<Block, 'id' | 'kind' | 'structures' | 'columns'>,
  wt: Float32Array,
  bias: Float32Array | undefined,
  domains: readonly Moments[],
  combine: Combine,
  damping: number,
  kernels: Kernels,
  folder: string,
  left?: readonly number[],
): Promise<number> {
  const centred = bias !== undefined;
  const build = (weights: readonly number[]) =>
    buildLevels(block, wt, bias, mixture(domains, weights), damping, kernels, folder, left);
  const measured = async () => {
    const database = openLevels(folder);
    const wanted = sampledLevels(database.levels.length);
    const errors = await domainErrors(block, wt, bias, database, wanted, domains, kernels);
    return wanted.map((level, i) => ({ level, errors: errors[i] }));
  };

  let weights: readonly number[] = equalWeights(domains, centred);
  let used = await build(weights);
  if (combine === 'worst') {
    let built = weights;
    weights = await worstWeights(weights, async (tried) => {
      if (tried !== built) used = await build(tried);
      built = tried;
      const levels = await measured();
      return domains.map((_, d) => mean(levels.map(({ errors }) => errors[d])));
    });
    if (weights !== built) used = await build(weights);
  }
  const whole = left === undefined || left.length === block.structures;
  const facts: DomainFacts = {
    weights,
    levels: await measured(),
    ...(whole && (await robustness(block, wt, centred, domains, damping, kernels))),
  };
  writeFileSync(join(folder, FACTS), JSON.stringify(facts));
  return used;
}

async function robustness(
  block: Pick<Block, 'id' | 'columns'>,
  wt: Float32Array,
  centred: boolean,
  domains: readonly Moments[],
  damping: number,
  kernels: Kernels,
) {
  const ranks: number[][] = [];
  for (const moments of domains) {
    ranks.push(ranksOf(await saliencies(block, wt, moments, centred, damping, kernels)));
  }
  return agreement(ranks);
}

/** What `buildFromDomains` left beside the levels; undefined where one domain built them. */
export function openFacts(folder: string): DomainFacts | undefined {
  const file = join(folder, FACTS);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as DomainFacts) : undefined;
}
