// --- the columns that tables of boxes are put together from ---

const COLUMNS = {
  picture: { key: "picture", label: say("Picture"), labelHidden: true, kind: "picture", cell: thumbnailOf },
  class: {
    key: "class",
    label: say("Class"),
    kind: "class",
    heads: true,
    value: classOf,
    cell: (box) => classOf(box),
    below: (box) => [
      [nameOf(box), hasSeveralTargets ? box.target : null, hasSeveralMethods ? box.method : null]
        .filter(Boolean)
        .join(" · "),
      element("span", { class: "narrow-only" }, ` · ${sizeOf(box)}`, ...(hasRoles ? [" ", roleOf(box)] : [])),
    ],
  },
  score: {
    key: "score",
    label: say("Score"),
    kind: "number",
    descendingFirst: true,
    value: (box) => (hasCandidate(box) ? box.score : null),
    cell: (box) => (hasCandidate(box) ? score(box.score) : "–"),
  },
  size: {
    key: "size",
    label: say("Size"),
    kind: "number spare",
    descendingFirst: true,
    hint: say("width × height in pixels; sorted by area"),
    value: (box) => areaOf(shownPlace(box)),
    cell: sizeOf,
  },
  levels: {
    key: "levels",
    label: say("Levels"),
    kind: "levels-cell spare",
    value: meanStride,
    cell: levelBarOf,
    hint: say("each pyramid level's share of the evidence, from fine to coarse; sorted by the mean stride"),
  },
  energy: {
    key: "energy",
    label: say("Heat in box"),
    kind: "number",
    descendingFirst: true,
    value: (box) => box.energy,
    hint: say("the part of the map's sum that lies in the box"),
    cell: energyOrStatus,
  },
  outside: {
    key: "outside",
    label: say("Heat outside"),
    kind: "number",
    descendingFirst: true,
    value: heatOutside,
    hint: say("the part of the map's sum that lies outside the box"),
    cell: (box) => (isBlank(box) ? statusOf(box) : meterOf(heatOutside(box))),
  },
  status: {
    key: "status",
    label: say("Status"),
    hint: say("whether there is a map, and if not, why"),
    value: (box) => STATUS_WORDS[box.status],
    kind: "short spare",
    cell: statusOf,
  },
  role: { key: "role", label: say("Result"), kind: "short spare", value: (box) => box.role, cell: roleOf },
  words: { key: "words", label: say("What happened"), kind: "words spare", value: wordsOf, cell: wordsOf },
  verdict: {
    key: "verdict",
    label: say("Verdict"),
    kind: "short spare",
    value: (box) => box.answer.verdict,
    cell: verdictOf,
  },
  image: {
    key: "image",
    label: say("Image"),
    kind: "image spare",
    value: (box) => box.image.title,
    cell: (box) =>
      element("a", { href: imageHash(box.image), title: box.image.path, class: "quiet-link" }, box.image.title),
  },
};

COLUMNS.spareScore = { ...COLUMNS.score, kind: "number spare" };

// The heat in the box, or why there is none, for tables without a column for the map's status.
COLUMNS.heat = { ...COLUMNS.energy, cell: (box) => (isBlank(box) ? statusOf(box) : meterOf(box.energy)) };

// The class, and where there is no room for columns of their own, what happened there.
COLUMNS.told = {
  ...COLUMNS.class,
  below: (box) => [
    ...COLUMNS.class.below(box),
    element(
      "span",
      { class: "narrow-only" },
      element("br"),
      ...(box.role === "asked" ? [verdictOf(box), " "] : []),
      wordsOf(box),
    ),
  ],
};

function sizeOf(box) {
  return sizeText(shownPlace(box));
}

function energyOrStatus(box) {
  if (!isBlank(box)) return meterOf(box.energy);
  return element(
    "span",
    {},
    element("span", { class: "wide-only" }, "–"),
    element("span", { class: "narrow-only" }, statusOf(box)),
  );
}

function wordsOf(box) {
  if (box.answer) return answerWords(box.answer);
  if (!box.truth || box.truth.iou === null) return say("no object of its class is left for it");
  const iou = box.truth.iou.toFixed(2);
  if (box.truth.annotation === null) return say("IoU {0} with the closest object", iou);
  return say("IoU {0} with object {1}", iou, box.truth.annotation);
}
