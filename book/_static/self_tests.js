// The questions after a section. What was answered is kept in the reader's browser and sent nowhere.
// Each explanation stands in the page already, and is shown when its option is checked.

(() => {
  const score = document.querySelector(".self-tests-score");
  const count = score.querySelector("[role=status] span");
  const questions = document.querySelectorAll(".self-test");
  const { key } = score.dataset;
  let answers = {}; // of each question by its name, the place of the option

  function recall() {
    try {
      answers = JSON.parse(localStorage.getItem(key)) ?? {};
    } catch {
      answers = {}; // refused: a page from the disk, or no cookies
    }
  }

  function keep() {
    try {
      localStorage.setItem(key, JSON.stringify(answers));
    } catch {
      // then they hold for this page alone
    }
  }

  // at most one explanation of a question; put there anew, so that a screen reader tells it
  function show(question, explanation) {
    question.querySelector(".shown")?.classList.remove("shown");
    if (!explanation) return;
    explanation.classList.add("shown");
    explanation.parentNode.append(explanation);
  }

  function tell() {
    const right = document.querySelectorAll(".self-test .right.shown").length;
    if (count.textContent !== `${right}`) count.textContent = right;
  }

  function answer(question, place) {
    const option = question.querySelector(`input[value="${CSS.escape(place)}"]`);
    if (!option) return;
    option.checked = true;
    answers[question.id] = place;
    show(question, document.getElementById(`${question.id}-${place}`));
  }

  recall();
  for (const question of questions) {
    if (question.id in answers) answer(question, answers[question.id]);
    question.querySelector("button").addEventListener("click", () => {
      const chosen = question.querySelector("input:checked");
      if (!chosen) return show(question, question.querySelector(".none"));
      answer(question, chosen.value);
      keep();
      tell();
    });
    // an explanation belongs to the option that was checked
    question.addEventListener("change", () => {
      show(question, null);
      tell();
    });
  }
  document.getElementById("kept")?.remove();
  tell();

  score.querySelector("button").addEventListener("click", () => {
    answers = {};
    keep();
    for (const question of questions) {
      show(question, null);
      for (const option of question.querySelectorAll("input")) option.checked = false;
    }
    tell();
  });
})();
