/** The style of the page: one column that fits a phone, light and dark after the reader's choice, no foreign fonts. */
import { Html } from './html.ts';

export const STYLE = new Html(`
:root { --back: #f6f7f9; --card: #fff; --text: #16191f; --soft: #5b6472; --line: #e2e6ec; --mark: #2457d6; --good: #14804a; --bad: #b3261e; --bar: #7ea2f2 }
@media (prefers-color-scheme: dark) { :root { --back: #0f1216; --card: #181c22; --text: #e7eaef; --soft: #98a2b3; --line: #2a303a; --mark: #8fb1ff; --good: #5cc98f; --bad: #ff8a80; --bar: #3f66c4 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 3rem; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
header { display: grid; grid-template-columns: 1fr auto; align-items: baseline; margin-bottom: 1rem }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2 }
h2 { margin: 0 0 .6rem; font-size: 1.05rem }
p { margin: .3rem 0 .6rem }
a { color: var(--mark) }
small, .kind, .none, .time, footer, section > p { color: var(--soft); font-size: .875rem }
.kind { grid-column: 1 / -1; margin: 0; letter-spacing: .04em }
.state a { border: 1px solid currentColor; border-radius: 99px; padding: .15rem .7rem; font-size: .875rem; text-decoration: none; white-space: nowrap }
.good { color: var(--good) } .bad { color: var(--bad) }
section { background: var(--card); border: 1px solid var(--line); border-radius: .8rem; padding: 1rem 1.1rem; margin-bottom: 1rem }
.alarm { border: 1px solid var(--bad); border-radius: .8rem; padding: .7rem 1.1rem; color: var(--bad) !important; background: var(--card) }
.mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .82rem }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .25rem 1.2rem; margin: 0 }
dt { color: var(--soft) } dd { margin: 0; min-width: 0 }
details { margin-top: .7rem } summary { cursor: pointer; color: var(--mark) }
table.boot { width: 100%; border-collapse: collapse; table-layout: fixed }
.boot th { width: 38%; text-align: left; font-weight: 400; padding: .2rem .8rem .2rem 0 }
.boot th small { display: block; font-size: .75rem }
.boot td { padding: .2rem 0 } .boot td.time { width: 6.5rem; text-align: right }
.boot tr + tr { border-top: 1px solid var(--line) }
.bar span { display: block; height: .7rem; border-radius: .2rem; background: var(--bar) }
tr.failed .bar span { background: var(--bad) } tr.failed .time { color: var(--bad) } tr.skipped { opacity: .6 }
.hidden { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden }
ol.events { margin: 0; padding-left: 1.6rem } .events li { padding: .3rem 0 }
.digest { display: block; color: var(--soft); font-size: .75rem }
ul.containers { list-style: none; margin: 0; padding: 0 }
.containers li { display: grid; grid-template-columns: auto 1fr auto; gap: .7rem; align-items: baseline; padding: .4rem 0 }
.containers li + li { border-top: 1px solid var(--line) }
.dot { width: .6rem; height: .6rem; border-radius: 50%; background: var(--soft) } .dot.running { background: var(--good) } .dot.exited, .dot.dead { background: var(--bad) }
footer { margin-top: 1.5rem; text-align: center }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem } .boot th { width: auto } .boot td.bar { width: 25% } .boot td.time { width: 5rem } .containers li { grid-template-columns: auto 1fr } .containers .time { grid-column: 2 } }
@media print { body { background: none } section { break-inside: avoid } }
`);
