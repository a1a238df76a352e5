"use strict";

// --- the language: what the address asks for (?lang=zh), what the page was written in, or the browser's own ---

// English text -> Chinese text; empty for a page that is in English only
const chinese = new Map(Object.entries(JSON.parse(document.getElementById("words").textContent)));

const wantedLanguage =
  new URLSearchParams(location.search).get("lang") || document.documentElement.dataset.lang || navigator.language;
const isChinese = chinese.size > 0 && /^zh\b/i.test(wantedLanguage);

// A text in the page's language; {0}, {1}, ... stand for the values.
function say(text, ...values) {
  const words = (isChinese && chinese.get(text)) || text;
  return words.replace(/\{(\d)\}/g, (_, position) => String(values[position]));
}

function translatePage() {
  document.documentElement.lang = isChinese ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-say]")) {
    const label = node.getAttribute("aria-label");
    const { say: pattern, values } = node.dataset;
    if (label) node.setAttribute("aria-label", say(label));
    else node.textContent = pattern ? say(pattern, ...JSON.parse(values)) : say(node.textContent);
  }
}

// The link to the other language stays at the same place of the page.
function showLanguageSwitch() {
  const link = document.getElementById("language");
  if (!link) return;
  const [lang, name] = isChinese ? ["en", "English"] : ["zh", "中文"];
  Object.assign(link, { href: `?lang=${lang}`, hreflang: lang, lang, textContent: name, hidden: false });
  link.addEventListener("click", (event) => {
    event.preventDefault();
    location.search = link.search;
  });
}

translatePage();
showLanguageSwitch();
