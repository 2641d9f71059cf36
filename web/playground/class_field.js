// A class by typing its name or its number; while it is typed, what it may mean is offered.

import { classIndex, findClasses } from "../class_score.js";
import { element } from "./parts.js";

let made = 0;

// A control as those of parts.js, whose `value` is the class's name (its number, where two classes
// have the same name) and whose `index` is its place among the scores. What no class is called
// stays as it was typed, and `index` throws an error that can be shown; `chosen()` shows it here.
export function classField({ label, names, value: start, change }) {
  const id = `pg-class-${++made}`;
  const offered = element("datalist", { id: `${id}-names` });
  const input = element("input", { type: "text", id, autocomplete: "off", spellcheck: false });
  input.setAttribute("list", offered.id);
  const head = element("label", { htmlFor: id }, label);
  const wrong = element("p", { className: "pg-wrong", id: `${id}-wrong`, role: "alert", hidden: true });
  input.setAttribute("aria-describedby", wrong.id);
  let known = names;
  let committed = null;
  let kept = ""; // the last text that was a class's, or empty

  const unique = (index) => {
    const name = known[index];
    return known.indexOf(name) === known.lastIndexOf(name) ? name : String(index);
  };

  const control = {
    root: element("div", { className: "pg-control" }, head, input, offered, wrong),
    input,
    start,
    get value() {
      return wrong.hidden ? input.value : kept;
    },
    get text() {
      return control.value;
    },
    get index() {
      return classIndex(input.value, known);
    },
    // The index, or null where nothing is typed. What no class is called is told at the field, and
    // changes nothing.
    chosen() {
      try {
        if (input.value.trim()) classIndex(input.value, known);
        kept = input.value;
        say("");
      } catch ({ message }) {
        say(message);
      }
      return kept.trim() ? classIndex(kept, known) : null;
    },
    set(value) {
      input.value = committed = value;
      kept = control.start;
      say("");
    },
    // what no class is called is told where the class is needed
    take(text) {
      control.set(text);
      return true;
    },
    setNames(now) {
      known = now;
      offered.replaceChildren();
    },
  };

  function say(message) {
    if (wrong.textContent !== message) wrong.textContent = message;
    wrong.hidden = !message;
    input.setAttribute("aria-invalid", String(Boolean(message)));
  }

  function commit() {
    if (input.value === committed) return;
    try {
      input.value = unique(control.index);
    } catch {
      // `change` meets the same error, and says it
    }
    committed = input.value;
    change(control);
  }

  input.addEventListener("input", (event) => {
    const found = findClasses(input.value, known);
    const option = (index) => element("option", { value: unique(index) }, known[index]);
    offered.replaceChildren(...found.map(option));
    // one of those that are offered was chosen
    if (!event.inputType || event.inputType === "insertReplacementText") commit();
  });
  input.addEventListener("change", commit);
  input.addEventListener("focus", () => input.select());
  control.set(start);
  return control;
}
