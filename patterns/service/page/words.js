// What the page itself says, in the languages of its customers.

const en = {
  title: "Support", fresh: "New conversation", send: "Send", stop: "Stop", question: "Your question",
  hint: "Enter sends, Shift+Enter makes a new line, Esc stops an answer.",
  greeting: "What can we do for you?", intro: "Ask in your own words. The answer names the articles that it rests on.",
  examples: ["How long do I have to return an item?", "What does error E-203 mean?", "Call me back tomorrow about my hub."],
  you: "You", us: "Assistant", sources: "Sources", open: "Open the article", updated: "Updated",
  received: "Received", searching: "Searching the help centre", drafting: "Writing", working: "Still working",
  using: "Looking something up", yes: "Yes, please", no: "No, thanks", confirm: "Please confirm",
  cached: "Saved answer", stale: "Older answer", simplified: "From the help centre, without the assistant",
  unavailable: "Not answered", handoff: "A person takes over", unsure: "Not certain", cut: "Cut off: too long",
  stopped: "Stopped.", interrupted: "This answer was interrupted.", failed: "Not answered.",
  again: "Ask again", againIn: (seconds) => `Ask again in ${seconds} s`, close: "Close",
  lost: "The connection was lost.", check: "Check your network, then ask again.",
  resumed: "Going on with the answer.", ready: "The answer is complete.", approved: "You said yes.", declined: "You said no.",
  age: (count, unit) => `${count} ${unit}${count === 1 ? "" : "s"} ago`, now: "just now",
};

const de = {
  title: "Hilfe", fresh: "Neues Gespräch", send: "Senden", stop: "Anhalten", question: "Ihre Frage",
  hint: "Enter sendet, Umschalt+Enter macht eine neue Zeile, Esc hält eine Antwort an.",
  greeting: "Was können wir für Sie tun?", intro: "Fragen Sie in eigenen Worten. Die Antwort nennt die Artikel, auf denen sie beruht.",
  examples: ["Wie lange kann ich einen Artikel zurückgeben?", "Was bedeutet der Fehler E-203?", "Rufen Sie mich morgen wegen meiner Zentrale zurück."],
  you: "Sie", us: "Assistent", sources: "Quellen", open: "Artikel öffnen", updated: "Stand",
  received: "Angekommen", searching: "Sucht in der Hilfe", drafting: "Schreibt", working: "Arbeitet noch",
  using: "Schlägt etwas nach", yes: "Ja, bitte", no: "Nein, danke", confirm: "Bitte bestätigen",
  cached: "Gespeicherte Antwort", stale: "Ältere Antwort", simplified: "Aus der Hilfe, ohne den Assistenten",
  unavailable: "Nicht beantwortet", handoff: "Ein Mensch übernimmt", unsure: "Nicht sicher", cut: "Abgeschnitten: zu lang",
  stopped: "Angehalten.", interrupted: "Diese Antwort wurde unterbrochen.", failed: "Nicht beantwortet.",
  again: "Noch einmal fragen", againIn: (seconds) => `Noch einmal fragen in ${seconds} s`, close: "Schließen",
  lost: "Die Verbindung ist abgebrochen.", check: "Prüfen Sie Ihr Netz und fragen Sie dann noch einmal.",
  resumed: "Die Antwort geht weiter.", ready: "Die Antwort ist vollständig.", approved: "Sie haben Ja gesagt.", declined: "Sie haben Nein gesagt.",
  age: (count, unit) => `vor ${count} ${{ minute: ["Minute", "Minuten"], hour: ["Stunde", "Stunden"], day: ["Tag", "Tagen"] }[unit][count === 1 ? 0 : 1]}`,
  now: "gerade eben",
};

export function words(language) {
  return language === "de" ? de : en;
}

// The server notes the age of a kept answer in English: "answered 5 minutes ago".
export function age(note, say) {
  const found = /^answered (?:just now|(\d+) (minute|hour|day)s? ago)/.exec(note ?? "");
  return found ? (found[2] ? say.age(Number(found[1]), found[2]) : say.now) : "";
}
