"""The style of a proof's page: inside the page, allowed by its hash alone."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --mute: #5d6b82; --page: #f6f7f9; --card: #fff;
  --line: #d9dee7; --bad: #b3261e; --warn: #8a5a00; --good: #1c6e3d;
  --bad-fill: #f7d4d0; --warn-fill: #f8e6bd; --good-fill: #cdebd8; --none-fill: #eceff4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf2; --mute: #97a3b8; --page: #12161d; --card: #1b212b; --line: #303a49;
    --bad: #ff8a80; --warn: #f2c14e; --good: #7bd69b;
    --bad-fill: #5c231f; --warn-fill: #55430f; --good-fill: #1d4a30; --none-fill: #232b37; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 80rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p { margin: .25rem 0 .5rem; max-width: 65rem; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.answer { font-size: 1.1rem; font-weight: 600; padding: .6rem .8rem; border-left: 4px solid;
  background: var(--card); border-radius: 4px; }
dl { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0 0; }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .5rem .8rem;
  display: flex; flex-direction: column; min-width: 8rem; }
dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
dt { color: var(--mute); font-size: .85rem; }
table { border-collapse: collapse; background: var(--card); border: 1px solid var(--line); }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-top: 1px solid var(--line); }
thead th { font-size: .8rem; color: var(--mute); border: 0; white-space: nowrap; }
.list, .about { width: 100%; margin-bottom: .75rem; }
.list td { white-space: nowrap; }
.list td.long, .about td { overflow-wrap: anywhere; white-space: normal; }
.about th { width: 8rem; font-weight: 600; }
.wide { overflow-x: auto; margin-bottom: 1rem; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; background: var(--page); }
.squares { border: 0; background: none; border-collapse: separate; border-spacing: 2px; }
.squares th, .squares td { border: 0; padding: 0; }
.squares thead th { text-align: center; font-weight: 400; }
.squares thead th:first-child { text-align: left; }
.squares tbody th { font-weight: 400; padding-right: .6rem; font-variant-numeric: tabular-nums;
  position: sticky; left: 0; background: var(--page); }
.squares td { width: 1.6rem; min-width: 1.6rem; height: 1.6rem; text-align: center; vertical-align: middle;
  border-radius: 3px; font-weight: 700; }
.squares .good { background: var(--good-fill); } .squares .warn { background: var(--warn-fill); }
.squares .bad { background: var(--bad-fill); }
.squares .none { background: var(--none-fill); color: var(--mute); }
@media screen and (max-width: 50rem) {
  body { padding: .75rem; }
  .list thead { display: none; }
  .list, .list tbody, .list td { display: block; }
  .list tr { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .list td.long { grid-column: 1 / -1; }
  .list { border: 0; background: none; }
  .list tr { background: var(--card); border: 1px solid var(--line); border-radius: 6px;
    margin-bottom: .6rem; padding: .3rem 0; }
  .list td { border: 0; padding: .15rem .75rem; white-space: normal; }
  .list td:empty { display: none; }
  .list td::before { content: attr(data-label); display: block; color: var(--mute); font-size: .8rem; }
}
@media print {
  @page { margin: 12mm; }
  :root { color-scheme: light; --ink: #000; --mute: #444; --page: #fff; --card: #fff; --line: #999;
    --bad: #9b1c14; --warn: #6b4600; --good: #125430;
    --bad-fill: #f7d4d0; --warn-fill: #f8e6bd; --good-fill: #cdebd8; --none-fill: #eceff4; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  .wide { overflow: visible; }
  .squares { border-spacing: 1px; font-size: 8pt; }
  .squares td { width: 4.6mm; min-width: 0; height: 4.6mm; print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }
  .squares tbody th { position: static; padding-right: 2mm; }
  h2, h3, caption { break-after: avoid; }
  tr, dl div { break-inside: avoid; }
  thead { display: table-header-group; }
}
"""
