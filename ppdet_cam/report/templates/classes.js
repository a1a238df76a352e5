// --- what the maps say, class by class: on the page of cam_insight, and in short in a run's report ---

const VERDICTS = {
  confirmed: ["bad", say("confirmed")],
  not_confirmed: ["good", say("does not hold")],
  not_checked: ["neutral", say("not checked")],
};

// The fifth value is a word of the page, such as where a place lies.
const saidOf = ({ pattern, values }) => say(pattern, ...values.map((value, position) => (position === 4 ? say(value) : value)));

function verdictBadge(suspect) {
  const [kind, word] = VERDICTS[suspect.verdict];
  return badge(word, kind);
}

function classTableOf({ classes, suspects, hasTruth }) {
  const raised = (of) => suspects.filter(({ class_name: name }) => name === of.class_name);
  const number = (key, label, value, cell) => ({ key, label, value, cell, kind: "number", descendingFirst: true });
  const wrong = [
    number("false", say("False positives"), (of) => of.counts.false, (of) => count(of.counts.false)),
    number("missed", say("Missed"), (of) => of.objects_missed, (of) => (of.objects_missed === null ? "–" : count(of.objects_missed))),
  ];
  const table = new SortedTable({
    caption: say("Classes"),
    hashOf: null,
    columns: [
      { key: "class", label: say("Class"), kind: "class", heads: true, value: (of) => of.class_name, cell: (of) => of.class_name },
      number("boxes", say("Boxes"), (of) => of.boxes, (of) => count(of.boxes)),
      number("score", say("Mean score"), (of) => of.mean_score, (of) => score(of.mean_score)),
      number(
        "outside",
        say("Heat outside"),
        (of) => of.heat_outside.mean,
        (of) => `${percent(of.heat_outside.mean)} ± ${percent(of.heat_outside.spread)}`,
      ),
      number("groups", say("Groups"), (of) => of.groupCount, (of) => String(of.groupCount || "–")),
      ...(hasTruth ? wrong : []),
      number(
        "suspects",
        say("Suspects"),
        (of) => raised(of).length,
        (of) => element("span", {}, ...(raised(of).length ? raised(of).map(verdictBadge) : ["–"])),
      ),
    ],
  });
  table.show(classes);
  return table;
}
