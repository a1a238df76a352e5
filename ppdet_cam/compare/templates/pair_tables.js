// --- the columns that tables of pairs are put together from ---

const PICTURE_SIDE = 76;

function picturesOf(pair) {
  const absent = absentSide(pair);
  return element(
    "span",
    { class: "both" },
    ...SIDES.map((side, position) => {
      const what = side === absent ? absenceText(pair, side) : classOf(pair[side]);
      const frame = pictureOf(pair.pictures[position], `${LETTERS[side]}: ${what}`, PICTURE_SIDE);
      if (side === absent) frame.classList.add("empty");
      return frame;
    }),
  );
}

const correlationColumn = (key, label, hint) => ({
  key,
  label,
  kind: "number spare",
  hint,
  value: (pair) => pair[key],
  cell: (pair) => correlation(pair[key]),
});

const COLUMNS = {
  pictures: { key: "pictures", label: say("A and B"), kind: "both-cell", cell: picturesOf },
  class: {
    key: "class",
    label: say("Class"),
    kind: "class",
    heads: true,
    value: classText,
    cell: classText,
    below: (pair) => [
      namesText(pair) + (pair.beside === null ? "" : `; ${absenceText(pair, absentSide(pair))}`),
      element(
        "span",
        { class: "narrow-only" },
        " ",
        kindOf(pair),
        ` ${hasRoles ? `${resultText(pair)} · ` : ""}${pair.image.title}`,
      ),
    ],
  },
  kind: { key: "kind", label: say("What became of it"), kind: "short spare", value: (pair) => pair.kind, cell: kindOf },
  result: {
    key: "result",
    label: say("Ground truth"),
    kind: "short spare",
    value: resultText,
    cell: resultText,
  },
  score: {
    key: "score",
    label: say("Score"),
    kind: "number",
    descendingFirst: true,
    hint: say("B's score less A's; below, both"),
    value: (pair) => pair.scoreChange,
    cell: (pair) => changeCell(scoreOf(pair.a), scoreOf(pair.b), pair.scoreChange, FORMS.score),
  },
  energy: {
    key: "energy",
    label: say("Heat in box"),
    kind: "number",
    descendingFirst: true,
    hint: say("the part of the map's sum that lies in the box: B's less A's in percentage points; below, both"),
    value: (pair) => pair.energyChange,
    cell: (pair) => changeCell(energyOf(pair.a), energyOf(pair.b), pair.energyChange, FORMS.energy),
  },
  iou: {
    key: "iou",
    label: "IoU",
    kind: "number spare",
    hint: say("of the two boxes"),
    value: (pair) => pair.iou,
    cell: (pair) => (pair.iou === null ? "–" : pair.iou.toFixed(2)),
  },
  map: correlationColumn(
    "mapCorrelation",
    say("Map corr."),
    say("Pearson's correlation of the two maps over the image: is the heat in the same places?"),
  ),
  rank: correlationColumn(
    "rankCorrelation",
    say("Rank corr."),
    say("Spearman's rank correlation of the two maps over the boxes: are the object's parts in the same order?"),
  ),
  change: {
    key: "change",
    label: say("Change"),
    kind: "number spare",
    descendingFirst: true,
    hint: say("the largest of: the score's change, the change of the heat in the box, 1 less the map correlation"),
    value: (pair) => pair.change,
    cell: (pair) => meterOf(pair.change),
  },
  image: {
    key: "image",
    label: say("Image"),
    kind: "image spare",
    value: (pair) => pair.image.title,
    cell: (pair) => element("span", { class: "quiet", title: pair.image.path }, pair.image.title),
  },
};

COLUMNS.onlyScore = {
  ...COLUMNS.score,
  hint: say("of the detection; beside it, where the other run missed an object there, that of its best candidate"),
  value: (pair) => scoreOf(pair[absentSide(pair) === "b" ? "a" : "b"]),
  cell: (pair) => element("span", {}, ...fromTo(scoreOf(pair.a), scoreOf(pair.b), score)),
};

COLUMNS.onlyEnergy = {
  ...COLUMNS.energy,
  hint: say("the part of the map's sum that lies in the box, in A and in B"),
  value: (pair) => energyOf(pair[absentSide(pair) === "b" ? "a" : "b"]),
  cell: (pair) => element("span", {}, ...fromTo(energyOf(pair.a), energyOf(pair.b), percent)),
};

const RESULT = hasRoles ? [COLUMNS.result] : [];
const CORRELATIONS = hasMaps ? [COLUMNS.map, COLUMNS.rank] : [];
const IMAGE = hasSeveralImages ? [COLUMNS.image] : [];

// --- the table of classes ---

const countColumn = (key, label, hint, kind = "number") => ({
  key,
  label,
  kind,
  hint,
  descendingFirst: true,
  value: (row) => row[key],
  cell: (row) => element("span", { class: row[key] ? null : "quiet" }, count(row[key])),
});

const changeColumn = (key, label, form, hint) => ({
  key,
  label,
  kind: "number",
  hint,
  value: (row) => row[key] && row[key].change.mean,
  cell: (row) => intervalCell(row[key] && row[key].change, form),
});

const meanColumn = (key, label, hint) => ({
  key,
  label,
  kind: "number spare",
  hint,
  value: (row) => row[key] && row[key].mean,
  cell: (row) => intervalCell(row[key], FORMS.correlation, false),
});

const MEAN_HINT = say("mean over the kept boxes; below, its 95 % interval over images");

const CLASS_COLUMNS = [
  {
    key: "class_name",
    label: say("Class"),
    kind: "class",
    heads: true,
    value: (row) => row.class_name,
    cell: (row) => row.class_name,
  },
  countColumn("boxes_a", say("Boxes in A"), null, "number spare"),
  countColumn("boxes_b", say("Boxes in B"), null, "number spare"),
  countColumn("kept", say("Kept"), say("of the same class and in the same place in both"), "number spare"),
  countColumn("lost", say("Lost"), say("in A only")),
  countColumn("new", say("New"), say("in B only")),
  countColumn("to_other", say("To other"), say("of this class in A, of another in B"), "number spare"),
  countColumn("from_other", say("From other"), say("of another class in A, of this one in B"), "number spare"),
  changeColumn(
    "score",
    say("Score"),
    FORMS.score,
    say("mean change over the kept boxes; below, its 95 % interval over images"),
  ),
  changeColumn(
    "energy_in_box",
    say("Heat in box"),
    FORMS.energy,
    say("mean change over the kept boxes in percentage points; below, its 95 % interval over images"),
  ),
  ...(hasMaps
    ? [
        meanColumn("map_correlation", say("Map corr."), MEAN_HINT),
        meanColumn("rank_correlation", say("Rank corr."), MEAN_HINT),
      ]
    : []),
];
