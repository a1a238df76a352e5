// --- the viewer's content: one box ---

const titleText = (box) => [classOf(box), hasCandidate(box) ? score(box.score) : null].filter(Boolean).join(" ");

const viewer = new Viewer({
  previous: say("Previous box"),
  next: say("Next box"),
  titleOf: titleText,
  placeOf: (box) => (hasSeveralImages ? say("{0} in {1}", nameOf(box), box.image.title) : nameOf(box)),
  siblingsOf: (box) => box.image.boxes,
  hashOf: boxHash,
  hashBehind: (box) => imageHash(box.image),
  contentOf: (box) => [pictureFigure(box), sideOf(box)],
  addressed: () => readRoute().box,
});

function pictureFigure(box) {
  const { photo } = box.image.files;
  if (photo && box.image.hw && (box.files.heatmap || isBlank(box))) return layeredFigure(box, photo);
  const kind = ["overlay", "panel", "crop", "clean", "heatmap"].find((candidate) => box.files[candidate]);
  const how = say("The slider needs the photo and the map as files of their own: run with --report --save heatmap.");
  if (!kind && photo && box.image.hw) return layeredFigure(box, photo, say("No map was saved. {0}", how));
  if (!kind)
    return element(
      "figure",
      { class: "viewer-picture" },
      element("p", { class: "note" }, say("The run saved no picture of this box: --save overlay")),
    );
  const figure = element("figure", { class: "viewer-picture" });
  const url = box.files[kind];
  figure.append(
    element("img", {
      src: url,
      class: "whole",
      alt: alternativeText(box),
      onerror: () => figure.replaceChildren(notFound(url), thumbnailOf(box)),
    }),
    element("figcaption", { class: "quiet" }, how),
  );
  return figure;
}

function alternativeText(box) {
  const place = box.box.map((corner) => Math.round(corner)).join(", ");
  return isBlank(box)
    ? say("Photo without a map of {0}, box at {1}", classOf(box), place)
    : say("Photo with the map of {0}, box at {1}", classOf(box), place);
}

function layeredFigure(box, photo, note) {
  const outlines = [];
  if (box.roi) outlines.push(outline(box.roi, "proposal"));
  if (hasCandidate(box)) outlines.push(outline(box.box, "detection", box.polygon));
  if (box.answer) outlines.push(outline(box.answer.box, "asked", box.answer.polygon));
  const sources = [{ url: photo, kind: "photo" }];
  if (box.files.heatmap && !isBlank(box)) sources.push({ url: box.files.heatmap, kind: "heat" });
  const figure = element("figure", { class: "viewer-picture" });
  const onMissing = (url) => {
    if (!figure.querySelector(".note")) figure.replaceChildren(notFound(url), thumbnailOf(box));
  };
  const stage = stageOf(box.image, sources, outlines, { alt: alternativeText(box), onMissing });
  const controls = element("div", { class: "controls" });
  if (sources.length > 1) controls.append(viewer.opacitySlider([stage]));
  controls.append(viewer.outlineSwitch([stage], outlines.length > 1 ? say("Outlines") : say("Outline")));
  return fill(figure, {}, [
    element("div", { class: "stage-frame" }, stage),
    controls,
    note ? element("figcaption", { class: "quiet" }, note) : null,
  ]);
}

function sideOf(box) {
  const facts = [
    box.answer
      ? [
          box.role === "missed" ? say("Missed object") : say("Asked about"),
          [box.answer.name, box.answer.className].filter(Boolean).join(", "),
        ]
      : null,
    box.answer ? [say("Verdict"), verdictOf(box)] : null,
    box.answer ? [say("IoU with it"), box.answer.iou.toFixed(2)] : null,
    !box.answer && hasRoles ? [say("Result"), roleOf(box)] : null,
    box.truth && box.truth.iou !== null ? [say("Ground truth"), wordsOf(box)] : null,
    [say("Status"), statusOf(box)],
    box.scoreBeforeNms === undefined
      ? null
      : [say("Score before NMS"), say("{0}, which is explained", score(box.scoreBeforeNms))],
    [say("Heat in box"), meterOf(box.energy)],
    hasCandidate(box) ? [box.answer ? say("Best candidate") : say("Box"), cornersText(box.box, box.polygon)] : null,
    hasCandidate(box) ? [say("Size"), `${sizeText(box)} px`] : null,
    box.answer
      ? [
          box.role === "missed" ? say("Its box") : say("Box asked about"),
          cornersText(box.answer.box, box.answer.polygon),
        ]
      : null,
    box.roi ? [say("Proposal"), cornersText(box.roi)] : null,
    [say("Method"), box.target === "class" ? box.method : say("{0} of target {1}", box.method, box.target)],
    [say("Layers"), box.seenAt],
    [say("Image"), element("a", { href: imageHash(box.image), title: box.image.path }, box.image.title)],
  ].filter(Boolean);
  const side = element("div", { class: "viewer-side" });
  if (isBlank(box)) side.append(element("p", { class: "note" }, say("No map: {0}.", say(box.reason))));
  if (box.answer) side.append(element("p", {}, answerWords(box.answer)));
  side.append(
    element("dl", {}, ...facts.flatMap(([label, value]) => [element("dt", {}, label), element("dd", {}, value)])),
  );
  if (box.levels.length && !isBlank(box)) side.append(levelTableOf(box));
  return fill(side, {}, [outlineLegend(box), filesOf(box)]);
}

function outlineLegend(box) {
  const entries = [
    hasCandidate(box) ? ["detection", box.answer ? say("the best candidate") : say("the box")] : null,
    box.answer ? ["asked", box.role === "missed" ? say("the missed object") : say("the box asked about")] : null,
    box.roi ? ["proposal", say("the proposal that was pooled")] : null,
  ].filter(Boolean);
  if (entries.length < 2 || !box.image.files.photo) return null;
  return element("ul", { class: "legend" }, ...entries.map(([kind, words]) => legendEntry(kind, words)));
}

function levelTableOf(box) {
  const several = new Set(box.levels.map(([layer]) => layer)).size > 1;
  return element(
    "table",
    { class: "plain levels-table" },
    element("caption", {}, say("Levels")),
    element(
      "thead",
      {},
      element("tr", {}, ...[say("Grid"), say("Stride"), say("Share")].map((label) => element("th", { scope: "col" }, label))),
    ),
    element(
      "tbody",
      {},
      ...levelsOf(box).map((level) =>
        element(
          "tr",
          {},
          element("th", { scope: "row", title: level.layer }, several ? `${level.layer} ${level.grid}` : level.grid),
          element("td", {}, strideText(level.stride)),
          element("td", {}, meterOf(level.share)),
        ),
      ),
    ),
  );
}

function filesOf(box) {
  const files = [...Object.entries(box.files), ...Object.entries(box.image.files)];
  if (!files.length) return null;
  return element(
    "p",
    { class: "files" },
    say("Files: "),
    ...files.flatMap(([kind, url], position) => [
      position ? ", " : "",
      element("a", { href: url, target: "_blank", rel: "noopener" }, kind),
    ]),
  );
}
