// --- what the page was written with ---

const { suspects, classes, has_truth: hasTruth } = JSON.parse(document.getElementById("report-values").textContent);

function applyRoute() {}
const viewer = { sequence: null };

const signed = (number) => `${number >= 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;

// --- maps: 16 x 16 numbers, drawn when they come into view ---

function colourOf(value) {
  const stops = [
    [68, 1, 84],
    [59, 82, 139],
    [33, 145, 140],
    [94, 201, 98],
    [253, 231, 37],
  ];
  const place = Math.min(value, 0.9999) * (stops.length - 1);
  const first = Math.floor(place);
  return stops[first].map((one, channel) => Math.round(one + (stops[first + 1][channel] - one) * (place - first)));
}

// In the box's frame the box is drawn, which takes the middle half; `place` is drawn in either.
function mapOf(rows, caption, { isBoxFrame, place = null }) {
  const unit = 12;
  const side = rows.length * unit;
  const canvas = element("canvas", { width: side, height: side, role: "img", "aria-label": caption });
  const figure = element("figure", {}, canvas, element("figcaption", {}, caption));
  figure.unveil = () => {
    const context = canvas.getContext("2d");
    const highest = Math.max(...rows.flat()) || 1;
    rows.forEach((row, y) =>
      row.forEach((value, x) => {
        context.fillStyle = `rgb(${colourOf(value / highest).join(",")})`;
        context.fillRect(x * unit, y * unit, unit, unit);
      }),
    );
    const outlineOf = ([left, top, right, bottom], colour) => {
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.strokeRect(left * side, top * side, (right - left) * side, (bottom - top) * side);
    };
    if (isBoxFrame) outlineOf([0.25, 0.25, 0.75, 0.75], "#fff");
    if (place) outlineOf(isBoxFrame ? place.map((value) => (value + 0.5) / 2) : place, "#50e1ff");
  };
  unveil.observe(figure);
  return figure;
}

function sheetOf(of) {
  return element(
    "div",
    { class: "sheet" },
    ...of.pictures.map((data, position) => {
      const { image, box, score: value } = of.examples[position];
      const words = `${image}, ${box}, ${score(value)}`;
      const frame = pictureOf(data ? { data } : null, words, 132);
      frame.title = words;
      return frame;
    }),
  );
}

// A sheet whose pictures are made when it is opened.
function foldedSheet(of, label) {
  if (!of.pictures.length) return null;
  const details = element("details", { class: "more" }, element("summary", {}, label));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(sheetOf(of));
  });
  return details;
}

// --- suspects ---

function checkText({ check }) {
  if (!check) return null;
  const { drop_there: there, drop_elsewhere: elsewhere, boxes: number } = check;
  return say(
    "Taken out of the images of {0} boxes: the score changes by {1} there, by {2} with as much taken out elsewhere.",
    number,
    signed(there),
    signed(elsewhere),
  );
}

function truthText(counts) {
  if (!counts) return null;
  return say("{0} true, {1} false positives, {2} missed objects", counts.true, counts.false, counts.missed);
}

function suspectOf(suspect) {
  const own = classes.find(({ class_name: name }) => name === suspect.class_name);
  const isBoxFrame = !suspect.place || suspect.place.frame === "box";
  return element(
    "article",
    { class: `suspect ${suspect.verdict}` },
    element(
      "div",
      { class: "suspect-head" },
      element("h3", {}, `${suspect.rank}. ${suspect.class_name}`),
      verdictBadge(suspect),
    ),
    element("p", { class: "sentence" }, saidOf(suspect.sentence)),
    checkText(suspect) ? element("p", { class: "sentence" }, checkText(suspect)) : null,
    suspect.counts ? element("p", { class: "quiet" }, truthText(suspect.counts)) : null,
    element(
      "div",
      { class: "maps" },
      suspect.place
        ? mapOf(
            isBoxFrame ? own.box_frame : own.image_frame,
            isBoxFrame
              ? say("mean map of the class about the box (white) and the place (blue)")
              : say("mean map of the class in the image, and the place (blue)"),
            { isBoxFrame, place: suspect.place.xyxy },
          )
        : null,
      sheetOf({ pictures: suspect.pictures.slice(0, 8), examples: suspect.examples }),
    ),
    foldedSheet(
      { pictures: suspect.pictures.slice(8), examples: suspect.examples.slice(8) },
      say("{0} more examples", Math.max(0, suspect.pictures.length - 8)),
    ),
  );
}

function suspectsSection() {
  const none = say("None: no class rests on a place that is not its objects' own.");
  const hint = say("Evidence that does not lie on the objects, the strongest first. What is not checked is a question, not a finding.");
  const section = sectionOf(
    say("Suspects"),
    suspects.length ? hint : none,
    element("div", { class: "suspects" }, ...suspects.map(suspectOf)),
  );
  section.id = "suspects";
  return section;
}

// --- classes ---

function sidesOf3(rows) {
  return element(
    "table",
    { class: "sides" },
    element("caption", { class: "hidden" }, say("Where the heat lies, about the box")),
    element(
      "tbody",
      {},
      ...rows.map((row, y) =>
        element(
          "tr",
          {},
          ...row.map((value, x) => element("td", { class: x === 1 && y === 1 ? "own" : null }, percent(value))),
        ),
      ),
    ),
  );
}

function groupOf(group, of) {
  return element(
    "div",
    { class: "group" },
    element("h3", {}, say("Group {0}: {1} of {2} boxes", group.name, count(group.boxes), count(of.groups.reduce((sum, one) => sum + one.boxes, 0)))),
    element(
      "p",
      { class: "quiet" },
      say("mean score {0}, heat outside the box {1}", score(group.mean_score), percent(group.heat_outside)),
      group.counts ? `; ${truthText(group.counts)}` : "",
    ),
    element(
      "div",
      { class: "maps" },
      mapOf(group.box_frame, say("mean map about the box"), { isBoxFrame: true }),
      sheetOf({ pictures: group.pictures, examples: group.examples }),
    ),
  );
}

function classBody(of) {
  const others = Object.entries(of.on_other_classes);
  return [
    of.note ? element("p", { class: "note" }, saidOf(of.note)) : null,
    ...of.findings.map((one) => element("p", { class: "note" }, saidOf(one))),
    element(
      "div",
      { class: "maps" },
      mapOf(of.box_frame, say("mean map about the box, which is widened to twice its sides"), { isBoxFrame: true }),
      mapOf(of.image_frame, say("mean map in the image"), { isBoxFrame: false }),
      element("figure", {}, sidesOf3(of.sides), element("figcaption", {}, say("Where the heat lies, about the box"))),
      others.length
        ? element(
            "figure",
            {},
            element("ul", {}, ...others.map(([name, share]) => element("li", {}, `${name}: ${percent(share)}`))),
            element("figcaption", {}, say("heat on boxes of other classes")),
          )
        : null,
    ),
    ...of.groups.map((group) => groupOf(group, of)),
  ];
}

function classSection(of) {
  const details = element("details", { class: "class-page" }, element("summary", {}, `${of.class_name} (${count(of.boxes)})`));
  details.id = `class-${classes.indexOf(of)}`;
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) fill(details, {}, classBody(of));
  });
  return details;
}

function classesSection() {
  for (const of of classes) of.groupCount = of.groups.length;
  const table = classTableOf({ classes, suspects, hasTruth });
  const section = sectionOf(say("Classes"), null, table.node, ...classes.map(classSection));
  section.id = "classes";
  return section;
}

fill(nodeOf("sections"), {}, [suspectsSection(), classesSection()]);
for (const [name, label] of [
  ["suspects", say("Suspects")],
  ["classes", say("Classes")],
])
  nodeOf("pages").append(element("a", { href: `#${name}` }, label));
nodeOf("skip").addEventListener("click", (event) => {
  event.preventDefault();
  nodeOf("suspects").querySelector("h2").focus();
});
