"""What the package says of itself where its files are elsewhere: README with links that lead somewhere, and addresses.

`DMOE_GYM_HOME` is the address of the published repository, as https://github.com/OWNER/dmoe_gym; the release workflow
sets it. Without it links into the repository are plain text.
"""

import os
import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

# [text](target) and ![text](target) with a target in the repository
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)\s]+)\)")


def published(text: str, home: str | None) -> str:
    """README's text with links to the published repository, or without links into it if there is none."""

    def replace(link: re.Match[str]) -> str:
        picture, words, target = link.groups()
        if home is None:
            return "" if picture else words
        return f"{picture}[{words}]({home}/{'raw' if picture else 'blob'}/HEAD/{target})"

    return LINK.sub(replace, text)


class Published(MetadataHookInterface):
    """Fills README and addresses in."""

    def update(self, metadata: dict) -> None:
        home = os.environ.get("DMOE_GYM_HOME")
        readme = (Path(self.root) / "README.md").read_text()
        metadata["readme"] = {"content-type": "text/markdown", "text": published(readme, home)}
        if home is not None:
            places = {"Documentation": "blob/HEAD/docs/index.md", "Changelog": "blob/HEAD/CHANGELOG.md"}
            metadata["urls"] = {"Homepage": home, **{name: f"{home}/{place}" for name, place in places.items()}}
