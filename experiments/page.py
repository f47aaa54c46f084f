"""What an experiment shows: sections of pages, pictures, files; and how they are written, only where told."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dmoe_gym.io.files import read_section, replace_section, write_whole


@dataclass(frozen=True)
class Page:
    """What is shown of an experiment; all paths are relative to the checkout.

    Attributes:
        sections: Markdown by page and name, `("docs/reports/wdmoe.md", "wdmoe-comparison")`; the page holds
            `<!-- NAME begins -->` and `<!-- NAME ends -->`.
        pictures: by path.
        files: whole files by path, as data that the package ships.
    """

    sections: Mapping[tuple[str, str], str] = field(default_factory=dict)
    pictures: Mapping[str, Figure] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)

    def write(self, root: Path) -> list[Path]:
        """Write everything into a checkout; returns what was written."""
        written = [replace_section(root / page, name, text) for (page, name), text in self.sections.items()]
        return [*written, *self._write_others(root)]

    def preview(self, folder: Path) -> list[Path]:
        """Write everything into a folder of its own, every section as a file."""
        written = [
            write_whole(folder / f"{Path(page).stem}-{name}.md", text + "\n")
            for (page, name), text in self.sections.items()
        ]
        return [*written, *self._write_others(folder)]

    def differences(self, root: Path) -> list[str]:
        """The sections and files of a checkout that are not these; pictures are not compared."""
        found = [
            f"{page}, section {name}"
            for (page, name), text in self.sections.items()
            if _bare(read_section(root / page, name)) != _bare(text)
        ]
        for path, content in self.files.items():
            kept = root / path
            if not kept.is_file() or kept.read_bytes() != (content.encode() if isinstance(content, str) else content):
                found.append(path)
        return found

    def _write_others(self, root: Path) -> list[Path]:
        contents = {**{path: png(figure) for path, figure in self.pictures.items()}, **self.files}
        return [write_whole(root / path, content) for path, content in contents.items()]


MADE = "Made by `"


def signed(page: Page, command: str, made: Sequence[Mapping[str, Any]]) -> Page:
    """The page with a line under every section that says which command made it, at which commits."""
    commits = ", ".join(sorted(f"{one['git_commit'][:7]}{' with changes' if one['git_dirty'] else ''}" for one in made))
    line = f"{MADE}{command}`{f' at {commits}' if commits else ''}."
    return Page(
        {place: f"{text.strip()}\n\n{line}" for place, text in page.sections.items()}, page.pictures, page.files
    )


def png(figure: Figure) -> bytes:
    """A figure as a PNG file's content."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _bare(text: str) -> str:
    """Without the line that says how it was made."""
    return "\n".join(line for line in text.strip().splitlines() if not line.startswith(MADE)).strip()
