// --- the viewer's content: both runs' pictures of one place ---

const KEEP_TOGETHER = say("The comparison links the pictures of the two runs: keep it and them where they are.");

const viewer = new Viewer({
  previous: say("Previous box"),
  next: say("Next box"),
  titleOf: (pair) => `${classText(pair)}, ${say(pair.kind)}`,
  placeOf: (pair) => (hasSeveralImages ? say("{0} in {1}", namesText(pair), pair.image.title) : namesText(pair)),
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
  controls.append(viewer.outlineSwitch(stages, say("Outlines")));
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
    const alt = sources.length > 1 ? say("{0}: photo with the map", LETTERS[side]) : say("{0}: photo", LETTERS[side]);
    const stage = stageOf(pair.image, sources, outlinesOf(pair, side), { alt, onMissing: missing });
    stages.push(stage);
    show(element("div", { class: "stage-frame" }, stage));
  } else if (whole) {
    const url = box.files[whole];
    show(element("img", { src: url, class: "whole", alt: `${LETTERS[side]}: ${whole}`, onerror: () => missing(url) }));
  } else {
    show(element("p", { class: "note" }, say("There is no picture: run cam_ppdet with --save overlay, heatmap or photo.")));
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
  const why = absent ? absenceText(pair, side) : "";
  const note = absent && box ? say("{0}; the best candidate:", why) : why;
  return element(
    "figcaption",
    {},
    element("b", {}, LETTERS[side]),
    " ",
    absent ? element("span", { class: "quiet" }, `${note} `) : null,
    words,
    box && isBlank(box) ? element("span", { class: "quiet" }, " ", say("no map: {0}", say(box.reason))) : null,
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
    if (box && box.answer) side.append(element("p", {}, element("b", {}, LETTERS[letter]), ` ${answerWords(box.answer)}`));
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
    [say("Score"), ...cells((box) => score(scoreOf(box))), change(pair.scoreChange, FORMS.score)],
    [say("Heat in box"), ...cells((box) => meterOf(energyOf(box))), change(pair.energyChange, FORMS.energy)],
    [say("Class"), ...cells(classOf)],
    [say("Map"), ...cells(statusOf)],
    hasRoles ? [say("Ground truth"), ...cells((box) => say(box.role))] : null,
    boxesOf(pair).some((box) => box.answer)
      ? [say("Verdict"), ...cells((box) => (box.answer ? verdictOf(box) : "–"))]
      : null,
    [say("Size"), ...cells(sizeText)],
    [say("Method"), ...cells((box) => (box.target === "class" ? box.method : say("{0} of target {1}", box.method, box.target)))],
  ].filter(Boolean);
  const heads = [
    ...SIDES.map((side) => LETTERS[side]),
    pair.scoreChange === null && pair.energyChange === null ? "" : say("Change"),
  ];
  return element(
    "table",
    { class: "pair-facts" },
    element("caption", { class: "hidden" }, say("Both runs")),
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
    [say("IoU of the boxes"), pair.iou === null ? null : pair.iou.toFixed(2)],
    [say("Map correlation"), pair.mapCorrelation === null ? null : correlation(pair.mapCorrelation)],
    [say("Rank correlation"), pair.rankCorrelation === null ? null : correlation(pair.rankCorrelation)],
    ...SIDES.map((side) => [
      say("Box of {0}", LETTERS[side]),
      pair[side] && hasCandidate(pair[side]) ? cornersText(pair[side].box, pair[side].polygon) : null,
    ]),
    [say("Image"), element("span", { title: pair.image.path }, pair.image.title)],
  ].filter(([, value]) => value !== null);
  return element("dl", {}, ...facts.flatMap(([label, value]) => [element("dt", {}, label), element("dd", {}, value)]));
}

function legendOf(pair) {
  const hasAsked = boxesOf(pair).some((box) => box.answer);
  const entries = [
    ["detection", say("the run's own box")],
    ["other", say("the other run's box")],
    hasAsked ? ["proposal", say("the box asked about")] : null,
  ].filter(Boolean);
  return element("ul", { class: "legend" }, ...entries.map(([kind, words]) => legendEntry(kind, words)));
}

function filesOf(pair, side) {
  const files = [...Object.entries(pair[side] ? pair[side].files : {}), ...Object.entries(pair.image[side])];
  if (!files.length) return null;
  return element(
    "p",
    { class: "files" },
    say("Files of {0}: ", LETTERS[side]),
    ...files.flatMap(([kind, url], position) => [
      position ? ", " : "",
      element("a", { href: url, target: "_blank", rel: "noopener" }, kind),
    ]),
  );
}
