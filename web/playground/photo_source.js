// Where a photo comes from: one of the page's own, a file, a drop, a paste, the camera. It is read
// here, by the browser, and goes nowhere else. Of a file with several pictures the first counts.

import { decodeSize } from "../images.js";
import { button, element, filePicker, takeDropsAndPastes, tools } from "./parts.js";

const CAMERA_ERRORS = {
  NotFoundError: "No camera was found.",
  NotAllowedError: "The camera is not allowed on this page.",
  NotReadableError: "The camera is used by another program.",
};

const inPixels = (width, height) => `${width.toLocaleString("en")} × ${height.toLocaleString("en")} pixels`;

// The picture at an address that is in the page's memory. Its size is known before it is decoded.
function imageAt(url, name) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error(`This browser cannot read ${name} as a picture.`));
    image.src = url;
  });
}

// the browser makes a large file smaller while it decodes it
async function decoded(file, image, size, name) {
  try {
    return await createImageBitmap(file, { ...size, resizeQuality: "high" });
  } catch {
    const found = inPixels(image.naturalWidth, image.naturalHeight);
    throw new Error(`This browser cannot read ${name}: it is damaged, or its ${found} are too many.`);
  }
}

function pixelsOf(picture, width, height) {
  const context = element("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, width, height);
  picture.close?.();
  return context.getImageData(0, 0, width, height);
}

// A file or a data URL becomes {photo: ImageData, note}; the note says what became of its size. The
// shorter side of the photo will be resized to `resizedSide`.
export async function readPhoto(source, name, resizedSide) {
  const isFile = source instanceof Blob;
  const url = isFile ? URL.createObjectURL(source) : source;
  try {
    const image = await imageAt(url, name);
    const { naturalWidth: width, naturalHeight: height } = image;
    const size = decodeSize(width, height, resizedSide);
    const picture = isFile ? await decoded(source, image, size, name) : image;
    const photo = pixelsOf(picture, size.resizeWidth, size.resizeHeight);
    const became = size.resizeWidth < width ? `, made smaller to ${inPixels(photo.width, photo.height)}` : "";
    return { photo, note: `${name}: ${inPixels(width, height)}${became}.` };
  } finally {
    if (isFile) URL.revokeObjectURL(url);
  }
}

// A button that opens the camera, and what shows it: `take` gets a still as a Blob.
export function camera({ take, fail }) {
  const video = element("video", { playsInline: true, muted: true, style: "max-width: 100%" });
  video.setAttribute("aria-label", "What the camera sees");
  const open = button("Use the camera", start);
  const still = button("Take the photo", shoot);
  const view = element("div", { className: "pg-camera", hidden: true }, video);
  view.append(tools(still, button("Close the camera", stop)));
  let stream = null;
  // nobody is filmed by a panel that is not shown
  new IntersectionObserver(() => !video.checkVisibility() && close()).observe(video);

  async function start() {
    open.disabled = true;
    try {
      if (!navigator.mediaDevices?.getUserMedia) throw new Error("This page has no access to a camera.");
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      view.hidden = false;
      await video.play();
      still.focus();
    } catch (error) {
      close();
      fail(CAMERA_ERRORS[error.name] ?? `The camera cannot be used: ${error.message}`);
    }
    open.disabled = false;
  }

  function close() {
    for (const track of stream?.getTracks() ?? []) track.stop();
    [stream, video.srcObject, view.hidden] = [null, null, true];
  }

  function stop() {
    close();
    open.focus();
  }

  function shoot() {
    const [width, height] = [video.videoWidth, video.videoHeight];
    const canvas = element("canvas", { width, height });
    canvas.getContext("2d").drawImage(video, 0, 0);
    stop();
    canvas.toBlob((blob) => (blob ? take(blob) : fail("The camera gave no picture.")), "image/png");
  }

  return { open, view };
}

// File, drop, paste and camera, as elements for a panel; `take(file, name)` gets one picture.
export function ownPhoto(root, { take, fail }) {
  const first = ([file]) => take(file, file.name || "the pasted picture");
  const picker = filePicker({ label: "Your own photo: choose, drop or paste", take: first });
  const { open, view } = camera({ take: (blob) => take(blob, "the camera's photo"), fail });
  takeDropsAndPastes(root, first);
  return { picker: picker.root, open, view };
}
