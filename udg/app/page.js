// For the whole page: a photo may be dropped anywhere, one that is too large is not sent at all, and
// whatever is refused is seen.
(() => {
  const MEGABYTES = $MEGABYTES;
  const slots = "#udg-drop input[type=file], #udg-files input[type=file]";

  function refuse(text) {
    window.udgRefusal = text;
    document.getElementById("udg-unsent").click();
  }

  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) {
      for (const node of addedNodes) {
        const error = node.nodeType === 1 && (node.matches(".udg-error") ? node : node.querySelector(".udg-error"));
        if (error && error.offsetParent) {
          window.scrollTo(0, 0);
          error.scrollIntoView({ block: "nearest" }); // below the photo on a phone
        }
      }
    }
  }).observe(document, { childList: true, subtree: true });

  window.addEventListener("dragover", (event) => event.preventDefault(), true);
  window.addEventListener("drop", (event) => {
    event.preventDefault(); // it must not replace the page
    event.stopPropagation();
    const input = document.querySelector(slots);
    if (!input || !event.dataTransfer.files.length) return;
    const one = new DataTransfer();
    one.items.add(event.dataTransfer.files[0]);
    input.files = one.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }, true);

  window.addEventListener("change", (event) => {
    const file = event.target.matches(slots) && event.target.files[0];
    if (!file || file.size <= MEGABYTES * 1e6) return;
    event.stopImmediatePropagation();
    event.target.value = "";
    refuse(`${file.name} is larger than ${MEGABYTES} MB; use a smaller file.`);
  }, true);
})();
