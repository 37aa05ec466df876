// The camera on the page for check-ins. Without it the form asks for a file. A picture
// leaves the page with the button and in no other way, and nothing is kept.
"use strict";

(() => {
  const form = document.getElementById("check-in");
  if (!form || !navigator.mediaDevices) return;
  const video = document.getElementById("camera");
  const file = document.getElementById("photograph");
  const said = document.getElementById("said");
  const purpose = document.getElementById("purpose");
  const LONGEST = 1280;
  let stream = null;

  const stop = () => {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null;
  };

  const show = (camera) => {
    document.getElementById("by-camera").hidden = !camera;
    document.getElementById("by-file").hidden = camera;
    file.disabled = camera;
    said.textContent = camera ? "" : said.dataset.noCamera;
  };

  // The camera at the back for a bed, the one in front for oneself.
  const start = async () => {
    stop();
    const facingMode = purpose.value === "sign_in" ? "user" : "environment";
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode, width: { ideal: LONGEST } } });
      video.srcObject = stream;
      show(true);
    } catch {
      show(false);
    }
  };

  // One picture of what the camera sees now; the canvas is cleared once it is encoded.
  const picture = () => new Promise((done) => {
    const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    const sheet = canvas.getContext("2d");
    sheet.drawImage(video, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => { sheet.clearRect(0, 0, canvas.width, canvas.height); done(blob); }, "image/jpeg", 0.92);
  });

  form.addEventListener("submit", async (event) => {
    if (!stream || video.videoWidth === 0) return;
    event.preventDefault();
    form.querySelector("button").disabled = true;
    said.textContent = said.dataset.sending;
    const files = new DataTransfer();
    files.items.add(new File([await picture()], "photograph.jpg", { type: "image/jpeg" }));
    file.disabled = false;
    file.files = files.files;
    stop();
    form.submit();
  });

  purpose.addEventListener("change", start);
  addEventListener("pagehide", stop);
  start();
})();
