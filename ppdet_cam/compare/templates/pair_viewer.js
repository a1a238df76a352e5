// --- the viewer's content: both runs' pictures of one place ---

const KEEP_TOGETHER = "The comparison links the pictures of the two runs: keep it and them where they are.";

const viewer = new Viewer({
  previous: "Previous box",
  next: "Next box",
  titleOf: (pair) => `${classText(pair)}, ${pair.kind}`,
  placeOf: (pair) => (hasSeveralImages ? `${namesText(pair)} in ${pair.image.title}` : namesText(pair)),
  siblingsOf: () => pairs,
  hashOf: pairHash,
  hashBehind: () => filtered.address(),
  contentOf: (pair) => [pairFigure(pair), sideOf(pair)],
  addressed: () => readRoute().pair,
});

const WIDE = 1.8; // images wider than this are shown one above the other

function pairFigure(pair) {
  const { hw } = pair.image;
  const stages = [];
  const halves = element("div", { class: "halves" }, ...SIDES.map((side) => halfOf(pair, side, stages)));
  if (hw && hw[1] > WIDE * hw[0]) halves.classList.add("stacked");
  const figure = element("div", { class: "viewer-picture pair-picture" }, halves);
  if (!stages.length) return figure;
  const controls = element("div", { class: "controls" });
  if (stages.some((stage) => stage.querySelector(".heat"))) controls.append(viewer.opacitySlider(stages));
  controls.append(viewer.outlineSwitch(stages, "Outlines"));
  figure.append(controls);
  return figure;
}

// One run's picture; a stage with layers is added to `stages`.
function halfOf(pair, side, stages) {
  const box = pair[side];
  const figure = element("figure", { class: "half" }, captionOf(pair, side));
  const show = (...nodes) => figure.replaceChildren(figure.firstChild, ...nodes);
  const missing = (url) =>
    show(notFound(url, KEEP_TOGETHER), pictureOf(pair.pictures[SIDES.indexOf(side)], "", 2 * PICTURE_SIDE));
  const photo = photoOf(pair, side);
  const whole = box && ["overlay", "panel", "crop", "clean", "heatmap"].find((kind) => box.files[kind]);
  if (photo && pair.image.hw && (!box || box.files.heatmap || isBlank(box) || !whole)) {
    const sources = [{ url: photo, kind: "photo" }];
    if (box && box.files.heatmap && !isBlank(box)) sources.push({ url: box.files.heatmap, kind: "heat" });
    const alt = `${LETTERS[side]}: photo${sources.length > 1 ? " with the map" : ""}`;
    const stage = stageOf(pair.image, sources, outlinesOf(pair, side), { alt, onMissing: missing });
    stages.push(stage);
    show(element("div", { class: "stage-frame" }, stage));
  } else if (whole) {
    const url = box.files[whole];
    show(element("img", { src: url, class: "whole", alt: `${LETTERS[side]}: ${whole}`, onerror: () => missing(url) }));
  } else {
    show(element("p", { class: "note" }, "There is no picture: run cam_ppdet with --save overlay, heatmap or photo."));
  }
  return figure;
}

// The photo is the same in both runs, so one of them may lend it to the other.
function photoOf({ image }, side) {
  return image[side].photo || image[side === "a" ? "b" : "a"].photo;
}

function captionOf(pair, side) {
  const box = pair[side];
  const words = box ? [classOf(box), scoreOf(box) === null ? null : score(scoreOf(box))].filter(Boolean).join(" ") : "";
  const absent = absentSide(pair) === side;
  const note = absent ? `${absenceText(pair, side)}${box ? "; the best candidate:" : ""}` : "";
  return element(
    "figcaption",
    {},
    element("b", {}, LETTERS[side]),
    " ",
    absent ? element("span", { class: "quiet" }, `${note} `) : null,
    words,
    box && isBlank(box) ? element("span", { class: "quiet" }, ` no map: ${box.reason}`) : null,
  );
}

function outlinesOf(pair, side) {
  const own = pair[side];
  const other = pair[side === "a" ? "b" : "a"];
  const asked = (own || other).answer;
  return [
    other && hasCandidate(other) ? outline(other.box, "other", other.polygon) : null,
    asked ? outline(asked.box, "proposal", asked.polygon) : null,
    own && hasCandidate(own) ? outline(own.box, "detection", own.polygon) : null,
  ].filter(Boolean);
}

// --- the numbers beside the pictures ---

function sideOf(pair) {
  const side = element("div", { class: "viewer-side" });
  for (const letter of SIDES) {
    const box = pair[letter];
    if (box && box.answer) side.append(element("p", {}, element("b", {}, LETTERS[letter]), ` ${box.answer.words}`));
  }
  return fill(side, {}, [
    factsTable(pair),
    measuresList(pair),
    legendOf(pair),
    ...SIDES.map((name) => filesOf(pair, name)),
  ]);
}

function factsTable(pair) {
  const { a, b } = pair;
  const cells = (value) => [a, b].map((box) => (box ? value(box) : "–"));
  const change = (number, form) => (number === null ? "" : changeText(number, form));
  const rows = [
    ["Score", ...cells((box) => score(scoreOf(box))), change(pair.scoreChange, FORMS.score)],
    ["Heat in box", ...cells((box) => meterOf(energyOf(box))), change(pair.energyChange, FORMS.energy)],
    ["Class", ...cells(classOf)],
    ["Map", ...cells(statusOf)],
    hasRoles ? ["Ground truth", ...cells((box) => box.role)] : null,
    boxesOf(pair).some((box) => box.answer)
      ? ["Verdict", ...cells((box) => (box.answer ? verdictOf(box) : "–"))]
      : null,
    ["Size", ...cells(sizeText)],
    ["Method", ...cells((box) => (box.target === "class" ? box.method : `${box.method} of ${box.target}`))],
  ].filter(Boolean);
  const heads = [
    ...SIDES.map((side) => LETTERS[side]),
    pair.scoreChange === null && pair.energyChange === null ? "" : "Change",
  ];
  return element(
    "table",
    { class: "pair-facts" },
    element("caption", { class: "hidden" }, "Both runs"),
    element(
      "thead",
      {},
      element("tr", {}, element("td", {}), ...heads.map((head) => (head ? element("th", { scope: "col" }, head) : ""))),
    ),
    element(
      "tbody",
      {},
      ...rows.map(([label, ...values]) =>
        element("tr", {}, element("th", { scope: "row" }, label), ...values.map((value) => element("td", {}, value))),
      ),
    ),
  );
}

function measuresList(pair) {
  const facts = [
    ["IoU of the boxes", pair.iou === null ? null : pair.iou.toFixed(2)],
    ["Map correlation", pair.mapCorrelation === null ? null : correlation(pair.mapCorrelation)],
    ["Rank correlation", pair.rankCorrelation === null ? null : correlation(pair.rankCorrelation)],
    ...SIDES.map((side) => [
      `Box of ${LETTERS[side]}`,
      pair[side] && hasCandidate(pair[side]) ? cornersText(pair[side].box, pair[side].polygon) : null,
    ]),
    ["Image", element("span", { title: pair.image.path }, pair.image.title)],
  ].filter(([, value]) => value !== null);
  return element("dl", {}, ...facts.flatMap(([label, value]) => [element("dt", {}, label), element("dd", {}, value)]));
}

function legendOf(pair) {
  const hasAsked = boxesOf(pair).some((box) => box.answer);
  const entries = [
    ["detection", "the run's own box"],
    ["other", "the other run's box"],
    hasAsked ? ["proposal", "the box asked about"] : null,
  ].filter(Boolean);
  return element("ul", { class: "legend" }, ...entries.map(([kind, words]) => legendEntry(kind, words)));
}

function filesOf(pair, side) {
  const files = [...Object.entries(pair[side] ? pair[side].files : {}), ...Object.entries(pair.image[side])];
  if (!files.length) return null;
  return element(
    "p",
    { class: "files" },
    `Files of ${LETTERS[side]}: `,
    ...files.flatMap(([kind, url], position) => [
      position ? ", " : "",
      element("a", { href: url, target: "_blank", rel: "noopener" }, kind),
    ]),
  );
}
