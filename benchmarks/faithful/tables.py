"""What the faithfulness benchmark found, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ppdet_cam.evaluation.tables import markdown_table

COLUMNS = ("pointing", "energy", "evidence_hit", "evidence_energy", "deletion", "insertion", "insertion_minus_deletion")
GAP = "insertion_minus_deletion"
SHORT = ("stagecam", "layercam", "gradcam")  # of the first table
Row = Mapping[str, dict]
Document = Mapping[str, list]


def short_table(found: Mapping[str, Sequence[Document]]) -> str:
    """Returns a line per detector: what the default's map tells, and what a map that only knows the box would.

    Args:
        found: a detector's name -> its evaluations, as `eval.json` has them.
    """
    rows = []
    for name, documents in found.items():
        lines = {row["method"]: row for row in reversed(merged(documents)) if row["layer"] in ("model.backbone", "")}
        if not all(GAP in lines.get(method, {"metrics": {}})["metrics"] for method in SHORT):
            continue  # its parts that are measured so far do not tell
        gaps = [_mean(lines[method], GAP) for method in (*SHORT, "box")]
        over = lines[SHORT[0]]["over"]["box"][GAP]
        difference = f"{over['mean']:+.3f} ({over['low']:+.3f} to {over['high']:+.3f})"
        measured = lines[SHORT[0]]["metrics"]["pointing"]
        places = [_mean(lines[SHORT[0]], metric) for metric in ("pointing", "energy")]
        rows.append([name, f"{measured['images']}, {measured['boxes']}", *gaps, difference, *places])
    methods = [f"`{method}`" for method in SHORT]
    head = ["detector", "images, boxes", *methods, "filled box", "`stagecam` less box (95 %)", "pointing", "energy"]
    return markdown_table(head, rows)


def long_tables(name: str, documents: Sequence[Document]) -> Iterator[str]:
    """Yields a detector's heading, its table of all maps, and one for each sanity check."""
    counts = [
        (metric["boxes"], metric["images"])
        for document in documents
        for row in document["maps"][:1]
        for metric in row["metrics"].values()
    ]
    (most, images), (least, of_images) = max(counts), min(counts)
    yield f"### {name}"
    yield (
        f"Measured on {most} boxes of {images} images; known evidence, deletion, insertion and slow methods on fewer, "
        f"at least {least} of {of_images}."
    )
    yield _table(merged(documents))
    yield from (_sanity(document) for document in documents if document["sanity"])


def merged(documents: Sequence[Document]) -> list[Row]:
    """Returns a row per map, with what all evaluations of one detector measured of it; baselines last.

    Where two measured the same number, that of more boxes counts.
    """
    rows: dict[tuple[str, str], dict] = {}
    for row in (row for document in documents for row in document["maps"]):
        own = rows.setdefault((row["method"], row["layer"]), {**row, "metrics": {}, "over": row["over"] and {}})
        for metric, interval in row["metrics"].items():
            if interval["boxes"] > own["metrics"].get(metric, {"boxes": 0})["boxes"]:
                own["metrics"][metric] = interval
        for baseline, differences in (row["over"] or {}).items():
            own["over"].setdefault(baseline, {}).update(differences)
    return sorted(rows.values(), key=lambda row: row["over"] is None)


def _table(lines: Sequence[Row]) -> str:
    columns = [name for name in COLUMNS if any(name in row["metrics"] for row in lines)]
    best = {name: _best(lines, name) for name in columns}
    rows = []
    for row in lines:
        means = {name: _mean(row, name) for name in columns}
        is_method = row["over"] is not None
        cells = [f"**{text}**" if is_method and text == best[name] else text for name, text in means.items()]
        rows.append([f"`{row['method']}`", f"`{row['layer']}`" if row["layer"] else "-", *cells])
    return markdown_table(["method", "layer", *columns], rows)


def _best(lines: Sequence[Row], name: str) -> str | None:
    means = [_mean(row, name) for row in lines if row["over"] is not None and name in row["metrics"]]
    return (min if name == "deletion" else max)(means, key=float, default=None)


def _mean(row: Row, name: str) -> str:
    return f"{row['metrics'][name]['mean']:.3f}" if name in row["metrics"] else "-"


def _sanity(document: Document) -> str:
    rows = [
        [f"`{row['method']}`", f"`{row['layer']}`", *(f"{one['mean']:.2f} / {two['mean']:.2f}" for one, two in pairs)]
        for row in document["sanity"]
        for pairs in [list(zip(row["spearman"], row["ssim"]))]
    ]
    caption = "Sanity: rank correlation / structural similarity with the own map, the model made random from the top:"
    return f"{caption}\n\n{markdown_table(['method', 'layer', *document['parts']], rows)}"
