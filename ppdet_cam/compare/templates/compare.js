// --- addresses: what stands behind the # says what is shown ---

let isFirst = true;

function readRoute() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const pair = pairs[Number(parameters.get("pair") || NaN)] || null;
  return { pair, parameters };
}

function applyRoute() {
  const { pair, parameters } = readRoute();
  if (isFirst && pair) filtered.readAddress(new URLSearchParams());
  if (pair) {
    viewer.show(pair, { isFirst });
  } else {
    viewer.close();
    if (filtered.readAddress(parameters)) setTimeout(() => nodeOf("all-boxes").scrollIntoView({ block: "start" }));
  }
  isFirst = false;
}

// --- sections ---

function wholeSection() {
  const tile = (label, mean, form, isChange = true) => {
    if (!mean) return null;
    const interval = isChange ? mean.change : mean;
    return element(
      "div",
      {},
      element("dt", {}, label),
      element(
        "dd",
        {},
        element("b", {}, changeText(interval.mean, form)),
        " ",
        element("span", { class: "quiet" }, interval.images > 1 ? `(${endsText(interval, form)})` : say("one image")),
        isChange ? element("span", { class: "below" }, ...fromTo(mean.a, mean.b, form.plain)) : null,
      ),
    );
  };
  const tiles = [
    tile(say("Score"), total.score, FORMS.score),
    tile(say("Heat in box"), total.energy_in_box, FORMS.energy),
    tile(say("Map correlation"), total.map_correlation, FORMS.correlation, false),
    tile(say("Rank correlation in the box"), total.rank_correlation, FORMS.correlation, false),
  ].filter(Boolean);
  if (!tiles.length) return null;
  return sectionOf(
    say("On the whole: {0} kept", plural(total.kept, "{0} box", "{0} boxes")),
    say(
      "Means over the boxes that both runs have, of the same class and in the same place, and their 95 % intervals over images.",
    ),
    element("dl", { class: "tiles" }, ...tiles),
  );
}

function failuresSection() {
  if (!failed.length) return null;
  const reason = (side) => ({
    key: side,
    label: say("In {0}", LETTERS[side]),
    kind: "words",
    value: (image) => image[side] || say("ok"),
    cell: (image) => image[side] || element("span", { class: "quiet" }, say("ok")),
  });
  const table = new SortedTable({
    caption: say("Images that failed"),
    pageRows: 10,
    columns: [
      { key: "image", label: say("Image"), heads: true, value: (image) => image.title, cell: (image) => image.title },
      reason("a"),
      reason("b"),
    ],
  });
  table.show(failed);
  const title = plural(failed.length, "{0} image failed in one run or both", "{0} images failed in one run or both");
  const section = sectionOf(title, say("Their boxes are in no count."), table.node);
  section.classList.add("failures");
  return section;
}

function unmatchedSection() {
  const unmatched = [...onlyA.map((title) => ({ title, run: "A" })), ...onlyB.map((title) => ({ title, run: "B" }))];
  if (!unmatched.length) return null;
  const table = new SortedTable({
    caption: say("Images of one run only"),
    pageRows: 10,
    columns: [
      { key: "image", label: say("Image"), heads: true, value: (image) => image.title, cell: (image) => image.title },
      { key: "run", label: say("Run"), kind: "short", value: (image) => image.run, cell: (image) => image.run },
    ],
  });
  table.show(unmatched);
  return sectionOf(say("Images of one run only"), say("Their boxes are in no count."), table.node);
}

function lostAndNewSection() {
  const title = say("Lost and new boxes");
  const rows = pairs.filter(absentSide);
  if (!rows.length) return sectionOf(title, say("None: each box of one run has its partner in the other one."));
  const table = new SortedTable({
    caption: title,
    hashOf: pairHash,
    pageRows: 10,
    columns: [
      COLUMNS.pictures,
      COLUMNS.class,
      COLUMNS.kind,
      ...RESULT,
      COLUMNS.onlyScore,
      COLUMNS.onlyEnergy,
      ...IMAGE,
    ],
  });
  table.show(rows);
  const second = rows.filter((pair) => pair.beside !== null).length;
  const seconds = second ? say(" {0} lie where the other run has one box, and this one several.", count(second)) : "";
  return sectionOf(
    title,
    say(
      "The other run has no box left there, of whichever class, with an IoU of at least {0}. A lost box's score may have fallen just below the threshold: run B with a lower --draw_threshold to see.",
      matchIou,
    ) + seconds,
    table.node,
  );
}

function otherClassSection() {
  const rows = pairs.filter((pair) => pair.kind === "other class");
  if (!rows.length) return null;
  const table = new SortedTable({
    caption: say("Boxes of another class"),
    hashOf: pairHash,
    pageRows: 10,
    columns: [
      COLUMNS.pictures,
      COLUMNS.class,
      ...RESULT,
      COLUMNS.score,
      COLUMNS.energy,
      COLUMNS.iou,
      ...CORRELATIONS,
      ...IMAGE,
    ],
  });
  table.show(rows);
  return sectionOf(
    say("Boxes of another class"),
    say("In the same place, with an IoU of at least {0}, B sees another class than A.", matchIou),
    table.node,
  );
}

function classesSection() {
  if (!classes.length) return null;
  const table = new SortedTable({
    caption: say("Classes"),
    pageRows: 15,
    columns: CLASS_COLUMNS,
    hashOf: (row) => `#${new URLSearchParams({ class: row.class_name })}`,
  });
  table.show(classes);
  return sectionOf(
    say("Classes"),
    say("Means are over kept boxes; a change is in bold when its interval leaves out zero."),
    table.node,
  );
}

// Each filter: its name in the address, and whether it lets a pair through.
const FILTERS = {
  find: (pair, text) => haystackOf(pair).includes(text.toLowerCase()),
  class: (pair, name) => pair.classes.includes(name),
  kind: (pair, kind) => pair.kind === kind,
  result: (pair, result) => resultText(pair) === result,
  from: (pair, least) => pair.change !== null && pair.change >= Number(least),
  map: (pair, most) => pair.mapCorrelation !== null && pair.mapCorrelation <= Number(most),
};

function haystackOf(pair) {
  if (pair.haystack === undefined) {
    const words = boxesOf(pair).map((box) => (box.answer ? answerWords(box.answer) : ""));
    pair.haystack = [pair.image.title, pair.image.path, classText(pair), namesText(pair), ...words]
      .join("\n")
      .toLowerCase();
  }
  return pair.haystack;
}

function filteredTable() {
  const table = new SortedTable({
    caption: say("All boxes"),
    hashOf: pairHash,
    sort: { key: "change", descending: true },
    columns: [
      COLUMNS.pictures,
      COLUMNS.class,
      COLUMNS.kind,
      ...RESULT,
      COLUMNS.score,
      COLUMNS.energy,
      COLUMNS.iou,
      ...CORRELATIONS,
      COLUMNS.change,
      ...IMAGE,
    ],
  });
  const kinds = countsOf(pairs.map((pair) => pair.kind)).map(([kind, number]) => [kind, number, say(kind)]);
  return new FilteredTable({
    rows: pairs,
    table,
    lets: FILTERS,
    nouns: ["{0} box", "{0} boxes"],
    label: say("Filter the boxes"),
    fields: [
      findField(say("image, class or words")),
      choiceField("class", say("Class"), say("all"), countsOf(pairs.flatMap((pair) => pair.classes))),
      choiceField("kind", say("What became of it"), say("all"), kinds),
      hasRoles ? choiceField("result", say("Ground truth"), say("any"), countsOf(pairs.map(resultText))) : null,
      numberField("from", say("Change from"), { placeholder: "0", min: 0, max: 1, step: 0.05 }),
      hasMaps ? numberField("map", say("Map corr. to"), { placeholder: "1", min: -1, max: 1, step: 0.05 }) : null,
    ],
  });
}

// --- what cam_insight said of both runs ---

const BECAME = { gone: "good", "no longer holds": "good", new: "bad", stronger: "bad", weaker: "neutral", stayed: "neutral" };

function insightSection() {
  if (!insight) return null;
  const went = insight.groups.filter(({ became }) => became !== "stayed");
  const share = (of) => percent(of.became === "gone" ? of.share_a : of.share_b);
  return sectionOf(
    say("Suspects and groups that came and went"),
    insight.suspects.length || went.length ? null : say("None."),
    element(
      "ul",
      {},
      ...insight.suspects.map(({ became, sentence }) => element("li", {}, badge(say(became), BECAME[became]), " ", saidOf(sentence))),
      ...went.map((of) =>
        element(
          "li",
          {},
          badge(say(of.became), "neutral"),
          " ",
          say("group {0} of '{1}', {2} of its boxes", of.a || of.b, of.class_name, share(of)),
        ),
      ),
    ),
  );
}

// --- the beginning ---

const filtered = filteredTable();
const all = sectionOf(say("All boxes"), say("Those first that changed most."), filtered.form, filtered.table.node);
all.id = "all-boxes";
fill(nodeOf("sections"), {}, [
  failuresSection(),
  wholeSection(),
  insightSection(),
  lostAndNewSection(),
  otherClassSection(),
  classesSection(),
  all,
  unmatchedSection(),
]);

function goTo(section) {
  const heading = section.querySelector("h2");
  section.scrollIntoView({ block: "start" });
  heading.focus({ preventScroll: true });
}

for (const section of nodeOf("sections").children) {
  const title = section.querySelector("h2").textContent;
  if (![say("Lost and new boxes"), say("Classes"), say("All boxes")].includes(title)) continue;
  const link = element(
    "a",
    {
      href: "#",
      onclick: (event) => {
        event.preventDefault();
        goTo(section);
      },
    },
    title,
  );
  nodeOf("pages").append(link);
}
nodeOf("skip").addEventListener("click", (event) => {
  event.preventDefault();
  goTo(nodeOf("sections").firstElementChild);
});
addEventListener("hashchange", applyRoute);
applyRoute();
