// 1280 x 720 is what tests/classroom/test_slides.py measures; "?showNotes=true" shows the notes below
Reveal.initialize({
  width: 1280,
  height: 720,
  margin: 0,
  center: false,
  display: "flex",
  hash: true,
  slideNumber: "c/t",
  transition: "none",
  pdfMaxPagesPerSlide: 1,
  plugins: [RevealNotes],
});
