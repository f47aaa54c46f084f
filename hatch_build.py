"""What the package says of itself where its files are elsewhere: README with links that lead somewhere, and addresses.

`DMOE_GYM_HOME` is the address of the published repository, as https://github.com/OWNER/dmoe_gym; the release workflow
sets it. Without it links into the repository are plain text.
"""

import os
import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

HERE = r"(?!https?:|#|mailto:)"
# code, which stays as it is; [text](target) and ![text](target), also of a linked picture; <img src="target">
PARTS = re.compile(
    rf"(?P<code>```.*?```|`[^`\n]*`)"
    rf"|(?P<picture>!?)\[(?P<words>[^\[\]]*)\]\({HERE}(?P<target>[^)\s]+)\)"
    rf'|<img[^>]*\bsrc="{HERE}(?P<source>[^"]+)"[^>]*>',
    re.DOTALL,
)


def published(text: str, home: str | None) -> str:
    """README's text with links to the published repository, or without links into it if there is none."""

    def replace(part: re.Match[str]) -> str:
        if part["code"]:
            return part["code"]
        if part["source"]:
            return part[0].replace(part["source"], f"{home}/raw/HEAD/{part['source']}") if home else ""
        if home is None:
            return "" if part["picture"] else part["words"]
        kind = "raw" if part["picture"] else "blob"
        return f"{part['picture']}[{part['words']}]({home}/{kind}/HEAD/{part['target']})"

    return PARTS.sub(replace, text)


class Published(MetadataHookInterface):
    """Fills README and addresses in."""

    def update(self, metadata: dict) -> None:
        home = os.environ.get("DMOE_GYM_HOME")
        readme = (Path(self.root) / "README.md").read_text()
        metadata["readme"] = {"content-type": "text/markdown", "text": published(readme, home)}
        if home is not None:
            places = {"Documentation": "tree/HEAD/docs", "Changelog": "blob/HEAD/CHANGELOG.md"}
            metadata["urls"] = {"Homepage": home, **{name: f"{home}/{place}" for name, place in places.items()}}
