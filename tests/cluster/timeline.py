"""A history as a page with a picture, for a person who looks for what went wrong."""

import html
from pathlib import Path

from checker import Violation
from history import History, Op

COLOURS = {"ok": "#4c9f70", "fail": "#b0b0b0", "unknown": "#e0a030"}
ROW, WIDTH, LEFT = 26, 1600, 60


def write(path: Path, history: History, violations: list[Violation]) -> None:
    """Writes the operations of each key that is wrong: a row for each client, the time from left to right."""
    parts = ["<!doctype html><meta charset=utf-8><title>history</title><style>body{font:13px sans-serif}svg{overflow:visible}</style>"]
    for violation in violations:
        parts.append(f"<h2>{html.escape('/'.join(violation.key))}</h2><p>{html.escape(violation.reason)}</p>")
        parts.append(_picture(violation.ops, history.events))
        rows = "".join(f"<li>{(op.invoke - violation.ops[0].invoke) / 1e6:.1f} ms: {html.escape(str(op))}</li>" for op in violation.ops)
        parts.append(f"<details><summary>{len(violation.ops)} operations</summary><ol>{rows}</ol></details>")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts))


def _picture(ops: list[Op], events: list[tuple[int, str]]) -> str:
    clients = sorted({op.client for op in ops})
    start = min(op.invoke for op in ops)
    end = max(op.complete or op.invoke for op in ops)
    scale = WIDTH / max(1, end - start)
    height = ROW * len(clients) + 20
    marks = []
    for place, client in enumerate(clients):
        marks.append(f"<text x=0 y={place * ROW + 16}>client {client}</text>")
    for op in ops:
        x = LEFT + (op.invoke - start) * scale
        width = max(2.0, ((op.complete or end) - op.invoke) * scale)
        y = clients.index(op.client) * ROW
        title = html.escape(str(op))
        marks.append(f'<rect x={x:.1f} y={y} width={width:.1f} height={ROW - 8} fill="{COLOURS[op.kind]}" stroke=white><title>{title}</title></rect>')
    for at, what in events:
        if start <= at <= end:
            x = LEFT + (at - start) * scale
            marks.append(f'<line x1={x:.1f} x2={x:.1f} y1=0 y2={height - 16} stroke="#c33"/><text x={x:.1f} y={height} fill="#c33">{html.escape(what)}</text>')
    return f"<svg width={WIDTH + LEFT} height={height}>{''.join(marks)}</svg>"
