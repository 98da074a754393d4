"""What `make torture` prints at its end: one block of figures a part, and how much went wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """The figures of one part."""

    part: str
    wrong: int
    lines: list[str]


def told(blocks: list[Block], seed: int) -> str:
    """The scoreboard as text."""
    text = [f"scoreboard, seed {seed:x}"]
    for block in blocks:
        text.append(f"{block.part}: {block.wrong or 'nothing'} wrong")
        text += [f"    {line}" for line in block.lines]
    return "\n".join(text)
