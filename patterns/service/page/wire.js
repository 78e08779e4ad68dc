// Requests, and server-sent events as they arrive. EventSource can neither POST nor show a status code.

export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.error = error;
  }
}

export async function request(method, path, body, signal) {
  const headers = body ? { "content-type": "application/json" } : {};
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    throw new Refused(response.status, told.error ?? { message: response.statusText, next_step: "" });
  }
  return response;
}

// Yields {id, kind, data}. A stream that breaks off just ends: whoever reads knows whether an end was among the events.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  try {
    while (true) {
      const { value, done } = await reader.read();
      if (done) return;
      waiting += value;
      const frames = waiting.split("\n\n");
      waiting = frames.pop();
      for (const frame of frames) yield parsed(frame);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(frame) {
  const fields = {};
  for (const line of frame.split("\n")) {
    const at = line.indexOf(": ");
    fields[line.slice(0, at)] = line.slice(at + 2);
  }
  return { id: Number(fields.id), kind: fields.event, data: JSON.parse(fields.data) };
}
