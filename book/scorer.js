// In what order the search lists what it finds: chapters, the page for teachers,
// exercises, then the package's pages. Sphinx copies this into the script that its search reads; the numbers are its own.
var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,

  score([page, , , description, score]) {
    // whoever types a function's name looks for that function
    const asked = new URLSearchParams(location.search).get("q") ?? "";
    if (asked.includes("_") && description && score >= 11) return 3000 + score;
    if (page.startsWith("book/api/")) return score;
    if (page === "book/teaching") return 1500 + score;
    return (page.startsWith("book/exercises/") ? 1000 : 2000) + score;
  },
};
