/**
 * The style of the HTML report. Pictures take their colours from the variables here.
 * @module
 */

const LIGHT = `
  --page: #f6f6f4; --surface: #ffffff; --ink: #17181c; --ink-2: #565861; --ink-3: #8b8d96; --rule: #e3e3e0; --guide: #b9bac0; --ghost: #eeeeeb;
  --series-1: #2566d8; --series-2: #0b8f83; --series-3: #7a55e8; --series-4: #c8680a;
  --met: #12743a; --met-soft: #e2f3e8; --missed: #b3261e; --missed-soft: #fbe6e4; --inconclusive: #8a5a00; --inconclusive-soft: #fbf0d9;`;

const DARK = `
  --page: #111214; --surface: #1a1b1f; --ink: #f0f0ef; --ink-2: #b3b4bb; --ink-3: #7d7f88; --rule: #2e3036; --guide: #565962; --ghost: #2a2c32;
  --series-1: #6ba4ff; --series-2: #3cc4b4; --series-3: #ab93ff; --series-4: #f0a04b;
  --met: #5fd08a; --met-soft: #15301f; --missed: #ff8a80; --missed-soft: #3a1b19; --inconclusive: #e8b857; --inconclusive-soft: #33280f;`;

export const STYLE = `
:root { color-scheme: light dark; ${LIGHT} }
@media (prefers-color-scheme: dark) { :root { ${DARK} } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1056px; margin: 0 auto; padding: 40px 24px 72px; }
article + article { margin-top: 72px; padding-top: 40px; border-top: 1px solid var(--rule); }
header { margin-bottom: 28px; }
.eyebrow { margin: 0; color: var(--ink-2); font-size: 13px; letter-spacing: .02em; }
h1 { margin: 4px 0 12px; font-size: clamp(26px, 5vw, 38px); line-height: 1.15; letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { margin: 0 0 16px; font-size: 18px; letter-spacing: -.01em; overflow-wrap: anywhere; }
h3 { margin: 0 0 8px; font-size: 14px; overflow-wrap: anywhere; }
.lead { margin: 0 0 8px; max-width: 46em; font-size: 18px; line-height: 1.5; overflow-wrap: anywhere; }
.setting, .caption { color: var(--ink-2); font-size: 13px; overflow-wrap: anywhere; }
.setting { margin: 0; }
.caption { margin: 12px 0 0; max-width: 62em; }
.soft { color: var(--ink-2); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin-bottom: 20px; }
.tile, .card { background: var(--surface); border: 1px solid var(--rule); border-radius: 12px; }
.tile { padding: 16px 18px; }
.tile p { margin: 0; }
.asked { color: var(--ink-2); font-size: 13px; }
.big { font-size: 34px; font-weight: 650; line-height: 1.2; letter-spacing: -.03em; }
.interval { color: var(--ink-2); font-size: 13px; }
.tile .status { margin: 10px 0 8px; }
.facts { font-size: 13px; overflow-wrap: anywhere; }
.status { display: inline-block; padding: 1px 10px; border-radius: 99px; font-size: 13px; font-weight: 600; white-space: nowrap; }
.status.met { color: var(--met); background: var(--met-soft); }
.status.missed { color: var(--missed); background: var(--missed-soft); }
.status.inconclusive { color: var(--inconclusive); background: var(--inconclusive-soft); }
.note { margin: 0 0 12px; padding: 10px 16px; border-left: 3px solid var(--inconclusive); border-radius: 0 8px 8px 0; background: var(--inconclusive-soft); font-size: 14px; overflow-wrap: anywhere; }
.card { margin: 16px 0 0; padding: 22px 24px; min-width: 0; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }
figure { margin: 0; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: inherit; font-variant-numeric: tabular-nums; }
.narrow { display: none; }
.key { display: inline-block; width: 11px; height: 11px; margin: 0 2px -1px 0; border: 2.5px solid var(--series-1); background: var(--surface); }
.key.met { border-radius: 50%; background: var(--series-1); }
.key.inconclusive { width: 10px; height: 10px; margin: 0 4px 0 2px; transform: rotate(45deg); }
.key.predicted { width: 0; height: 0; border: 5px solid transparent; border-bottom-width: 0; border-top: 8px solid var(--series-4); background: none; margin: 0 3px 1px 8px; }
.key + .key, .caption .key:not(:first-child) { margin-left: 10px; }
.scroll { overflow-x: auto; margin: 0 -24px; padding: 0 24px; }
.scroll:focus-visible { outline: 2px solid var(--series-1); outline-offset: -2px; }
table { width: 100%; border-collapse: collapse; font-size: 13px; }
th, td { padding: 8px 12px 8px 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: baseline; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--ink-2); font-size: 12.5px; font-weight: 500; }
tbody tr:last-child > * { border-bottom: 0; }
code { font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { margin: 12px 0 0; padding: 14px; overflow-x: auto; border-radius: 8px; background: var(--page); font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
dl { display: grid; grid-template-columns: minmax(7em, max-content) minmax(0, 1fr); gap: 6px 20px; margin: 0; font-size: 14px; }
dt { color: var(--ink-2); overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; }
dt:has(code) { max-width: 22em; }
dl + .scroll { margin-top: 20px; }
.timings dd { display: flex; align-items: center; gap: 10px; }
.bar { flex: none; width: calc(var(--share) * 55%); min-width: 2px; height: 8px; border-radius: 3px; background: var(--series-1); }
ul { margin: 0; padding-left: 1.2em; }
li { overflow-wrap: anywhere; }
details { margin-top: 14px; }
.card > details:first-child { margin-top: 0; }
summary { cursor: pointer; color: var(--ink-2); font-size: 14px; }
summary:hover { color: var(--ink); }
details h3 { margin-top: 18px; }
a { color: var(--series-1); }
@media (max-width: 720px) {
  main { padding: 24px 14px 48px; }
  .pair { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .pair > div + div { margin-top: 24px; }
  .card { padding: 18px 16px; }
  .scroll { margin: 0 -16px; padding: 0 16px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .tile { padding: 12px 14px; }
  .big { font-size: 28px; }
  .lead { font-size: 16px; }
  .wide { display: none; }
  .narrow { display: block; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: 8px; }
}
@media print {
  :root { color-scheme: light; ${LIGHT} --page: #ffffff; }
  body { font-size: 11px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  .tile, .card, figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .wide { display: block; }
  .narrow { display: none; }
  .scroll { overflow: visible; }
  table { font-size: 9px; }
  th, td { padding: 4px 8px 4px 0; white-space: normal; }
  details { display: none; }
}
`;
