// --- addresses: what stands behind the # says what is shown ---

const baseTitle = document.title;

function readRoute() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const image = images[Number(parameters.get("image") || NaN)] || null;
  const box = (image && image.boxes[Number(parameters.get("box") || NaN)]) || null;
  const page = image ? "image" : parameters.has("images") ? "images" : insight && parameters.has("classes") ? "classes" : "boxes";
  return { page, image, box, parameters };
}

const shown = { page: null, image: null };
const scrolls = new Map();

function applyRoute() {
  const route = readRoute();
  const isFirst = shown.page === null;
  if (route.box) {
    if (isFirst) showPage("image", route.image, isFirst);
    viewer.show(route.box, { isFirst });
    return;
  }
  viewer.close();
  if (route.page === "boxes") boxesPage.show(route.parameters);
  showPage(route.page, route.image, isFirst);
}

const pageKey = (page, image) => (image ? `${page} ${image.position}` : page);

function showPage(page, image, isFirst) {
  if (shown.page === page && shown.image === image) return;
  if (!isFirst) scrolls.set(pageKey(shown.page, shown.image), scrollY);
  Object.assign(shown, { page, image });
  if (page === "image") imagePage.show(image);
  if (page === "images") imagesPage.show();
  if (page === "classes") classesPage.show();
  for (const name of ["boxes", "images", "classes", "image"]) nodeOf(`page-${name}`).hidden = name !== page;
  for (const link of nodeOf("pages").querySelectorAll("a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = image ? `${image.title} · ${baseTitle}` : baseTitle;
  if (isFirst) return;
  scrollTo(0, page === "image" ? 0 : scrolls.get(pageKey(page, image)) || 0);
  nodeOf(`page-${page}`).querySelector("h1").focus({ preventScroll: true });
}

// --- the page of all boxes ---

const TRUTH_OR_ASKED = hasRoles ? [COLUMNS.role] : [];
const IMAGE = hasSeveralImages ? [COLUMNS.image] : [];

function viewsSection() {
  const shown = images.filter((image) => image.views.length);
  if (!shown.length) return null;
  const entry = (image) => element("li", {}, element("a", { href: imageHash(image) }, image.title));
  const content = shown.length === 1 ? shown[0].views.map(viewOf) : [element("ul", {}, ...shown.map(entry))];
  return sectionOf(say("What the layers show"), null, element("div", { class: "views" }, ...content));
}

function failuresSection() {
  const failures = images.filter((image) => image.failure !== null);
  if (!failures.length) return null;
  const table = new SortedTable({
    caption: say("Images that failed"),
    pageRows: 10,
    columns: [
      { key: "image", label: say("Image"), heads: true, value: (image) => image.path, cell: (image) => image.path },
      {
        key: "reason",
        label: say("Reason"),
        kind: "words",
        value: (image) => image.failure,
        cell: (image) => image.failure,
      },
    ],
  });
  table.show(failures);
  const section = sectionOf(plural(failures.length, "{0} image failed", "{0} images failed"), null, table.node);
  section.classList.add("failures");
  return section;
}

function findingsSection() {
  const findings = boxes.filter((box) => box.role === "missed" || box.role === "false positive");
  if (!hasTruth) return null;
  if (!findings.length) return sectionOf(say("Missed objects and false positives"), say("None among the explained boxes."));
  const table = new SortedTable({
    caption: say("Missed objects and false positives"),
    hashOf: boxHash,
    pageRows: 10,
    sort: { key: "outside", descending: true },
    columns: [
      COLUMNS.picture,
      COLUMNS.told,
      COLUMNS.role,
      COLUMNS.outside,
      COLUMNS.spareScore,
      COLUMNS.words,
      ...IMAGE,
    ],
  });
  table.show(findings);
  return sectionOf(
    say("Missed objects and false positives"),
    say("Those first whose heat lies farthest outside their box: there the detector looked elsewhere."),
    table.node,
  );
}

function askedSection() {
  const asked = boxes.filter((box) => box.role === "asked");
  if (!asked.length) return null;
  const table = new SortedTable({
    caption: say("Boxes asked about"),
    hashOf: boxHash,
    pageRows: 10,
    columns: [
      COLUMNS.picture,
      COLUMNS.told,
      COLUMNS.verdict,
      COLUMNS.words,
      COLUMNS.spareScore,
      COLUMNS.heat,
      ...IMAGE,
    ],
  });
  table.show(asked);
  return sectionOf(say("Boxes asked about"), null, table.node);
}

// Each filter: its name in the address, and whether it lets a box through.
const FILTERS = {
  find: (box, text) => haystackOf(box).includes(text.toLowerCase()),
  class: (box, name) => classOf(box) === name,
  from: (box, least) => hasCandidate(box) && box.score >= Number(least),
  to: (box, most) => hasCandidate(box) && box.score <= Number(most),
  status: (box, status) => (status === "blank" ? isBlank(box) : box.status === status),
  result: (box, role) => box.role === role,
  target: (box, target) => box.target === target,
  method: (box, method) => box.method === method,
};

function haystackOf(box) {
  if (box.haystack === undefined) {
    const texts = [box.image.title, box.image.path, classOf(box), nameOf(box), box.answer ? answerWords(box.answer) : ""];
    box.haystack = texts.join("\n").toLowerCase();
  }
  return box.haystack;
}

const boxesPage = {
  build() {
    const table = new SortedTable({
      caption: say("All boxes"),
      hashOf: boxHash,
      columns: [
        COLUMNS.picture,
        COLUMNS.class,
        COLUMNS.score,
        COLUMNS.size,
        COLUMNS.levels,
        COLUMNS.energy,
        COLUMNS.status,
        ...TRUTH_OR_ASKED,
        ...IMAGE,
      ],
    });
    this.filtered = new FilteredTable({
      rows: boxes,
      table,
      fields: this.fields(),
      lets: FILTERS,
      nouns: ["{0} box", "{0} boxes"],
      label: say("Filter the boxes"),
      onAddress: (hash) => {
        nodeOf("pages").querySelector("[data-page=boxes]").href = hash;
      },
    });
    const all = sectionOf(say("All boxes"), null, this.filtered.form, table.node);
    all.id = "all-boxes";
    const sections = [failuresSection(), findingsSection(), askedSection(), viewsSection(), all];
    fill(nodeOf("sections"), {}, sections);
  },

  fields() {
    const limits = { min: 0, max: 1, step: 0.05 };
    const blank = boxes.filter(isBlank).length;
    const statuses = countsOf(boxes.map((box) => box.status)).map(([status, number]) => [
      status,
      number,
      STATUS_WORDS[status],
    ]);
    const roles = countsOf(boxes.map((box) => box.role)).map(([role, number]) => [role, number, say(role)]);
    return [
      findField(say("image, class or words")),
      choiceField("class", say("Class"), say("all"), countsOf(boxes.map(classOf))),
      numberField("from", say("Score from"), { placeholder: "0", ...limits }),
      numberField("to", say("to"), { placeholder: "1", ...limits }),
      blank ? choiceField("status", say("Status"), say("any"), [["blank", blank, say("no map")], ...statuses]) : null,
      hasRoles ? choiceField("result", say("Result"), say("any"), roles) : null,
      hasSeveralTargets
        ? choiceField("target", say("Target"), say("any"), countsOf(boxes.map((box) => box.target)))
        : null,
      hasSeveralMethods
        ? choiceField("method", say("Method"), say("any"), countsOf(boxes.map((box) => box.method)))
        : null,
    ];
  },

  show(parameters) {
    const isJump = this.filtered.readAddress(parameters);
    if (isJump) setTimeout(() => nodeOf("all-boxes").scrollIntoView({ block: "start" }));
  },
};

// --- the page of all images ---

const imagesPage = {
  show() {
    if (this.table) return;
    const number = (key, label, value, kind = "number") => ({
      key,
      label,
      value,
      kind,
      descendingFirst: true,
      cell: (image) => (value(image) === null ? "–" : count(value(image))),
    });
    const truth = (key, label, name, kind) =>
      number(key, label, (image) => (image.truth ? image.truth[name] : null), kind);
    this.table = new SortedTable({
      caption: say("All images"),
      hashOf: (image) => (image.failure === null ? imageHash(image) : null),
      columns: [
        {
          key: "picture",
          label: say("Picture"),
          labelHidden: true,
          kind: "picture",
          cell: (image) => thumbnailOf(image.boxes[0]),
        },
        {
          key: "title",
          label: say("Image"),
          kind: "image-title",
          heads: true,
          value: (image) => image.title,
          cell: (image) => image.title,
        },
        number("boxes", say("Boxes"), (image) => image.boxes.length, hasTruth ? "number spare" : "number"),
        number(
          "detections",
          say("Detections"),
          (image) => (image.failure === null ? image.detections : null),
          "number spare",
        ),
        {
          key: "score",
          label: say("Best score"),
          kind: hasTruth ? "number spare" : "number",
          descendingFirst: true,
          value: (image) => image.highestScore,
          cell: (image) => score(image.highestScore),
        },
        ...(hasTruth
          ? [
              truth("objects", say("Objects"), "boxes", "number spare"),
              truth("missed", say("Missed"), "missed"),
              truth("false", say("False positives"), "falsePositives"),
            ]
          : []),
        {
          key: "size",
          label: say("Size"),
          kind: "number spare",
          descendingFirst: true,
          value: (image) => image.hw && image.hw[0] * image.hw[1],
          cell: (image) => (image.hw ? `${image.hw[1]} × ${image.hw[0]}` : "–"),
        },
        {
          key: "seconds",
          label: say("Seconds"),
          kind: "number spare",
          descendingFirst: true,
          value: (image) => image.seconds,
          cell: (image) => (image.seconds === null ? "–" : image.seconds.toFixed(2)),
        },
        {
          key: "failed",
          label: say("Status"),
          kind: "spare",
          value: (image) => (image.failure !== null ? say("failed") : image.warnings.length ? say("warning") : say("ok")),
          cell: imageStatusOf,
        },
      ],
    });
    const matches = element("span", { class: "matches" });
    const find = element("input", {
      type: "search",
      placeholder: say("name or path"),
      autocomplete: "off",
      oninput: () => apply(),
    });
    const apply = () => {
      const text = find.value.trim().toLowerCase();
      const rows = images.filter((image) => `${image.title}\n${image.path}`.toLowerCase().includes(text));
      this.table.show(rows);
      const all = plural(images.length, "{0} image", "{0} images");
      matches.textContent = text ? say("{0} of {1}", count(rows.length), all) : all;
      announce(say("{0} shown", matches.textContent));
    };
    const form = element(
      "form",
      {
        class: "filters",
        role: "search",
        "aria-label": say("Filter the images"),
        onsubmit: (event) => event.preventDefault(),
      },
      element("label", { class: "find" }, say("Find"), find),
      matches,
    );
    nodeOf("images-table").append(form, this.table.node);
    apply();
  },
};

// --- the page of one image ---

const imageStatusOf = (image) => {
  if (image.failure !== null) return badge(say("failed"), "bad", image.failure);
  if (image.warnings.length) return badge(say("warning"), "warning", image.warnings.join("; "));
  return element("span", { class: "quiet" }, say("ok"));
};

// What a layer shows whatever the boxes: its panel, and what it is of.
function viewOf(view) {
  const url = view.files.panel;
  const caption = say("{0} · {1} cells · {2}", view.title, view.grid, plural(view.channels, "{0} channel", "{0} channels"));
  return element(
    "figure",
    { class: "image-picture" },
    element(
      "a",
      { href: url, target: "_blank", rel: "noopener" },
      element("img", {
        src: url,
        class: "whole",
        loading: "lazy",
        alt: caption,
        onerror: (event) => event.target.replaceWith(notFound(url)),
      }),
    ),
    element("figcaption", { class: "quiet" }, caption),
  );
}

const imagePage = {
  show(image) {
    const step = (label, offset) => {
      const other = images[image.position + offset];
      return other
        ? element("a", { href: imageHash(other), title: other.title }, label)
        : element("span", { class: "quiet", "aria-disabled": "true" }, label);
    };
    const [height, width] = image.hw || [null, null];
    const facts = [
      image.hw ? `${width} × ${height} px` : null,
      image.failure === null ? plural(image.detections, "{0} detection", "{0} detections") : null,
      image.highestScore === null ? null : say("best score {0}", score(image.highestScore)),
      image.truth ? truthOf(image.truth) : null,
    ]
      .filter(Boolean)
      .join(" · ");
    nodeOf("page-image").replaceChildren(
      element(
        "div",
        { class: "image-head" },
        element("h1", { id: "image-title", tabindex: "-1", title: image.path }, image.title),
        hasSeveralImages
          ? element("nav", { "aria-label": say("Other images") }, step(`‹ ${say("Previous")}`, -1), " ", step(`${say("Next")} ›`, 1))
          : null,
      ),
      element("p", { class: "quiet" }, facts, ...fileLinks(image)),
      ...image.warnings.map((warning) => element("p", { class: "note" }, say("Warning: {0}.", warning))),
      image.failure === null ? this.body(image) : element("p", { class: "note" }, say("Failed: {0}", image.failure)),
    );
  },

  body(image) {
    if (image.views.length) return element("div", { class: "views" }, ...image.views.map(viewOf));
    if (!image.boxes.length)
      return element(
        "p",
        { class: "note" },
        image.highestScore === null ? say("No detection at all.") : say("No box reached the threshold."),
      );
    const table = new SortedTable({
      caption: say("Boxes of {0}", image.title),
      hashOf: boxHash,
      columns: [COLUMNS.picture, COLUMNS.class, COLUMNS.score, COLUMNS.levels, COLUMNS.heat, ...TRUTH_OR_ASKED],
    });
    table.show(image.boxes);
    return element("div", { class: "image-body" }, this.picture(image, table), table.node);
  },

  picture(image, table) {
    const { photo, summary } = image.files;
    if (photo) {
      const links = new Map(
        image.boxes.map((box) => [
          box,
          drawn(
            "a",
            { href: boxHash(box), "aria-label": `${classOf(box)}, ${nameOf(box)}` },
            outline(shownCorners(box), OUTLINES[box.role] || "detection", shownPlace(box).polygon),
          ),
        ]),
      );
      const stage = stageOf(image, [{ url: photo, kind: "photo" }], [...links.values()], {
        alt: say("Photo with {0}", plural(image.boxes.length, "{0} box", "{0} boxes")),
        onMissing: (url) => stage.replaceWith(notFound(url)),
      });
      const light = (event) => {
        const row = event.target.closest("tr");
        for (const [box, link] of links) link.classList.toggle("lit", Boolean(row) && row.row === box);
        stage.classList.toggle("dimmed", Boolean(row));
      };
      table.body.addEventListener("pointerover", light);
      table.body.addEventListener("focusin", light);
      table.body.addEventListener("pointerleave", () => stage.classList.remove("dimmed"));
      return element("figure", { class: "image-picture" }, stage, hasRoles ? legendOf(image) : null);
    }
    if (summary) {
      return element(
        "figure",
        { class: "image-picture" },
        element("img", {
          src: summary,
          class: "whole",
          alt: say("All boxes of {0}", image.title),
          onerror: (event) => event.target.replaceWith(notFound(summary)),
        }),
      );
    }
    return "";
  },
};

function truthOf({ boxes: objects, matched, missed, falsePositives }) {
  const wrong = plural(falsePositives, "{0} false positive", "{0} false positives");
  return say("{0}: {1} found, {2} missed, {3}", plural(objects, "{0} object", "{0} objects"), matched, missed, wrong);
}

const OUTLINES = { missed: "asked", asked: "asked", "false positive": "wrong" };

function legendOf(image) {
  const roles = [...new Set(image.boxes.map((box) => box.role))];
  const words = { missed: say("missed object"), asked: say("box asked about"), "false positive": say("false positive") };
  const entries = new Map(roles.map((role) => [OUTLINES[role] || "detection", words[role] || say("detection")]));
  return element("ul", { class: "legend inline" }, ...[...entries].map(([kind, label]) => legendEntry(kind, label)));
}

function fileLinks(image) {
  return Object.entries(image.files).flatMap(([kind, url]) => [
    " · ",
    element("a", { href: url, target: "_blank", rel: "noopener" }, kind),
  ]);
}

// --- the page of the classes, where cam_insight was run ---

const classesPage = {
  show() {
    if (this.table) return;
    this.table = classTableOf(insight);
    const suspects = insight.suspects.map((suspect) =>
      element("li", {}, `${suspect.class_name}: `, saidOf(suspect.sentence), " ", verdictBadge(suspect)),
    );
    nodeOf("classes-table").append(
      element(
        "p",
        { class: "quiet" },
        say("What the run's maps say, class by class; pictures and groups are on the page of cam_insight."),
        " ",
        element("a", { href: "insight.html" }, say("Open it")),
      ),
      this.table.node,
      sectionOf(
        say("Suspects"),
        suspects.length ? null : say("None: no class rests on a place that is not its objects' own."),
        element("ol", {}, ...suspects),
      ),
    );
  },
};

// --- the beginning ---

nodeOf("pages").append(
  element("a", { href: "#", "data-page": "boxes" }, say("Boxes")),
  ...(hasSeveralImages ? [element("a", { href: "#images", "data-page": "images" }, say("Images"))] : []),
  ...(insight ? [element("a", { href: "#classes", "data-page": "classes" }, say("Classes"))] : []),
);
nodeOf("skip").addEventListener("click", (event) => {
  event.preventDefault();
  const place =
    shown.page === "boxes" ? nodeOf("all-boxes").querySelector("h2") : nodeOf(`page-${shown.page}`).querySelector("h1");
  place.scrollIntoView();
  place.focus();
});
history.scrollRestoration = "manual";
boxesPage.build();
addEventListener("hashchange", applyRoute);
applyRoute();
