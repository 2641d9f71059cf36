// What a reader clicks around the text: both menus, folded code, figures to be enlarged, and the
// excerpts of the search. Without this script the text is all there: code unfolds by itself, and
// a figure's link opens its picture.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// The theme listens to the first button of each kind on the page. That one is in a header that
// this book hides, so the visible one passes each click on to it.
function connectMenu(kind, label) {
  const deaf = document.querySelector(`.bd-header-article .${kind}-toggle`);
  const heard = document.querySelector(`#pst-header .${kind}-toggle`);
  const sidebar = document.getElementById(`pst-${kind}-sidebar`);
  const dialog = document.getElementById(`pst-${kind}-sidebar-modal`);
  if (!deaf || !heard || !sidebar || !dialog) return;
  // where the chapters stand beside the text, the theme folds them away with this class
  const beside = kind === "primary" ? matchMedia("(min-width: 992px)") : { matches: false };
  const tell = () => {
    const shown = beside.matches && !sidebar.classList.contains("pst-sidebar-hidden");
    deaf.setAttribute("aria-expanded", dialog.open || shown);
  };
  deaf.title = label;
  deaf.setAttribute("aria-label", label);
  deaf.setAttribute("aria-controls", sidebar.id);
  dialog.setAttribute("aria-label", label);
  deaf.addEventListener("click", () => {
    deaf.focus(); // Safari does not, and the theme gives the focus back to where it was
    heard.click();
    tell();
  });
  dialog.addEventListener("close", tell);
  beside.onchange = tell;
  tell();
  // a link within this page leads to what the open menu would cover
  dialog.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || link.pathname !== location.pathname) return;
    const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    dialog.addEventListener("close", () => {
      if (!target) return;
      target.tabIndex = -1;
      target.focus({ preventScroll: true });
    }, { once: true });
    dialog.close();
  });
}

// Long code is folded. One button unfolds all of it, here and on every page from now on.
const CODE = "code"; // its name among what the browser remembers
const SHOWN = "shown";

function remembered() {
  try {
    return localStorage.getItem(CODE);
  } catch {
    return null; // refused: a page from the disk, or no cookies
  }
}

function remember(value) {
  try {
    localStorage.setItem(CODE, value);
  } catch {
    // then it holds for this page alone
  }
}

function offerAllCode() {
  const folded = document.querySelectorAll("details.code");
  const button = document.querySelector(".btn-code");
  if (!button) return;
  const show = (shown) => {
    for (const code of folded) code.open = shown;
    document.documentElement.dataset.code = shown ? SHOWN : "folded";
    button.setAttribute("aria-pressed", shown);
  };
  show(remembered() === SHOWN);
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    show(shown);
    remember(document.documentElement.dataset.code);
  });
}

// A tap on a figure shows its picture as large as the window allows, a second one larger still.
function enlarge(link) {
  const picture = make("img", { src: link.href, alt: link.querySelector("img").alt });
  picture.addEventListener("load", () => {
    picture.style.setProperty("--aspect", picture.naturalWidth / picture.naturalHeight);
  });
  const close = make("button", { type: "button" }, "Close");
  const nearer = make("button", { type: "button", "aria-pressed": "false" }, "Larger");
  const view = make("div", { class: "view", tabindex: "0" }, picture);
  const dialog = make(
    "dialog", { class: "enlarged", "aria-label": "Figure, enlarged" },
    make("div", { class: "buttons" }, nearer, close), view,
  );
  const zoom = (x = 0.5, y = 0.5) => {
    const near = dialog.classList.toggle("near");
    nearer.setAttribute("aria-pressed", near);
    view.scrollTo(
      x * view.scrollWidth - view.clientWidth / 2,
      y * view.scrollHeight - view.clientHeight / 2,
    );
  };
  nearer.addEventListener("click", () => zoom());
  picture.addEventListener("click", (event) => {
    zoom(event.offsetX / picture.clientWidth, event.offsetY / picture.clientHeight);
  });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target === view) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape") dialog.close(); // Chromium does not when the picture was tapped
  });
  // on a phone Back closes what lies above the page, and does not leave it
  const back = () => dialog.close();
  history.pushState({ enlarged: true }, "");
  window.addEventListener("popstate", back, { once: true });
  dialog.addEventListener("close", () => {
    window.removeEventListener("popstate", back);
    dialog.remove();
    if (history.state?.enlarged) history.back();
  });
  document.body.append(dialog);
  link.focus(); // to which the browser returns the focus; Safari does not focus what is clicked
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.enlarge");
  const plain = !(event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (!link || !plain) return;
  event.preventDefault();
  enlarge(link);
});

// The search's excerpts are the article's sentences. As the theme writes them they begin with the
// names of the page's buttons, and what they find first is what the chapter imports.
const IMPORTS = /^[ \t]*(?:import|from[ \t]+\S+[ \t]+import)\b/m;
const NO_TEXT = ".headerlink, script, style, .explorer, .katex-mathml, .self-test, .self-tests-score, .self-tests-answers";

function articleText(html, anchor) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const part = (anchor && page.getElementById(anchor.slice(1))) || page.querySelector(".bd-article");
  if (!part) return "";
  for (const element of part.querySelectorAll(NO_TEXT)) element.remove();
  for (const code of part.querySelectorAll("pre")) if (IMPORTS.test(code.textContent)) code.remove();
  return part.textContent.replace(/\s+/g, " ");
}

connectMenu("primary", "Chapters");
connectMenu("secondary", "On this page");
offerAllCode();
if (document.getElementById("search-results") && typeof Search === "object") {
  Search.htmlToText = articleText;
  // a chapter's title, found once with its number and once without, is one result
  const { _performSearch: search } = Search;
  const isTwice = (title) => {
    const [page, section] = title.split(" > ");
    return section && page.endsWith(section);
  };
  Search._performSearch = (...asked) => search(...asked).filter(([, title]) => !isTwice(title));
}
