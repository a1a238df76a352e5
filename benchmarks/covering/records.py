"""What a coverage run has found so far: a line per case, so that a run that ends early goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.covering.configs import Config, grouped
from ppdet_cam.outputs.files import write_atomically

EXPLAINED = "explained"

Outcome = Mapping[str, object]


class OtherRunError(ValueError):
    """The lines are of another checkout."""


@dataclass(frozen=True)
class Lines:
    """A file of JSON lines: the checkout first, then one outcome each, of which the last of a key counts.

    Attributes:
        path: the file.
        source: which checkout, in words.
    """

    path: Path
    source: str

    def begin(self, *, resume: bool) -> dict[str, Outcome]:
        """Returns the outcomes that are there already, by key; without `resume`, or without a file, there are none.

        Raises:
            OtherRunError: they are of another checkout.
        """
        if not resume or not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps({"source": self.source}) + "\n", encoding="utf-8")
            return {}
        lines = list(_whole_lines(self.path))
        source = lines[0].get("source") if lines else None
        if source != self.source:
            raise OtherRunError(
                f"{self.path} is of the PaddleDetection {source!r}, not of {self.source!r}. Name another --out, or "
                "leave --resume out to begin anew"
            )
        # a line that a killed run left unfinished would run into the next one
        self.path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return {str(line["key"]): line for line in lines[1:]}

    def add(self, key: str, outcome: Outcome) -> None:
        """Appends an outcome."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"key": key, **outcome}) + "\n")


def _whole_lines(path: Path) -> Iterator[dict[str, object]]:
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(text)
        except ValueError:  # the last line of a run that was killed
            return


def to_run(configs: Sequence[Config], found: Mapping[str, Outcome], *, retry: bool = False) -> dict[str, list[Config]]:
    """Returns the groups that have no outcome yet, each family's first one first.

    Args:
        configs: those that are asked for.
        found: outcomes by key.
        retry: run those again, too, that are not explained.
    """
    groups = grouped(configs)
    seen: dict[str, int] = {}
    turns = {}
    for key, group in groups.items():
        turns[key] = seen[group[0].family] = seen.get(group[0].family, 0) + 1
    left = [key for key in groups if key not in found or (retry and found[key]["status"] != EXPLAINED)]
    return {key: groups[key] for key in sorted(left, key=turns.__getitem__)}


def document(
    source: str, configs: Sequence[Config], others: Mapping[str, int], found: Mapping[str, Outcome]
) -> dict[str, object]:
    """Returns all that is known of a checkout."""
    keys = {config.key for config in configs}
    return {
        "source": source,
        "configs": [asdict(config) for config in configs],
        "others": dict(others),
        "outcomes": {key: outcome for key, outcome in found.items() if key in keys},
    }


def write_document(path: Path, content: Mapping[str, object]) -> None:
    """Writes it as a file that is whole or not there."""
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode("utf-8"))
