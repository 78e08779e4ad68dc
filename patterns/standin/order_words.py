"""How orders to an assistant are worded: the patterns behind `orders.py`, in English, German, Spanish and French."""

import re

QUOTES = "\"'“”„‘’«»`"
AI = (
    r"(?:ai|a\.i\.|llm|language model|chat ?bot|bot|assistant|gpt|ki|assistent(?:in)?|modell|agent|ia|asistente|modelo|"
    r"assistante|modèle)s?"
)
VERB = (
    r"(?:say|reply|respond|answer|print|output|write|repeat|begin|start|end|include|sage?|antworte|schreibe?|gib|"
    r"wiederhole|responde|contesta|escribe|repite|réponds|répondez|écris|écrivez|répète)"
)
FILLER = (
    r"(?:\s+(?:only|just|exactly|back|out|always|instead|simply|with|by|that|this|"
    r"the(?=\s+(?:following|words?|text|sentence|phrase|message|answer|reply|user|customer)\b)|"
    r"following|words?|text|sentence|"
    r"phrase|message|answer|reply|response|your|saying|user|customer|to|every|question|nur|mit|genau|stattdessen|"
    r"folgendes|aus|dass|den|satz|solo|únicamente|con|que|le|al|cliente|siguiente|seulement|uniquement|avec|au|client|"
    r"ceci))*"
)
# Where an order may begin: at the start, after "and", "please", "you must", or after a name for the assistant.
START = (
    r"(?:^|[.!?:;,]\s+|"
    r"\b(?:and|then|und|dann|please|bitte|must|should|now|always|only|instead|to|will|jetzt|nur|y|luego|ahora|"
    r"por favor|et|puis|maintenant)\s+)"
)
SAY = re.compile(
    rf"{START}{VERB}{FILLER}\s*(?P<mark>[:{QUOTES}]|(?=\S))[\s{QUOTES}]*(?P<said>.+)", re.IGNORECASE | re.DOTALL
)
TELL = re.compile(
    rf"{START}(?:tell|inform|ask|advise|instruct|urge|sage?|informiere|bitte|fordere|dile|di|informa|pide|dis|"
    r"dites|informe[zr]?|demande)\s+"
    r"(?:(?:the|every|each|all|any|dem|der|den|jedem|allen|al|a la|a los|au|aux|le|la|les)\s+)?"
    r"(?:customers?|users?|readers?|them|him|her|patients?|passengers?|members?|visitors?|guests?|people|everyone|"
    r"kunden?|kundin|nutzern?|benutzern?|lesern?|patienten|reisenden|clientes?|clients?|usuarios?|utilisateurs?)\s*,?\s*"
    r"(?P<how>to|that|dass|(?:de )?que|qu'|er solle|sie sollen|auf,|zu)?\s*:?\s*(?P<said>.+)",
    re.IGNORECASE | re.DOTALL,
)
RULES = r"instructions?|rules?|prompts?|guidelines?|instrucciones|reglas|consignes|règles"
IGNORE = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass|vergiss|ignoriere?|missachte|ignora|olvida|ignorez?|"
    r"oublie[zr]?)\b.{0,40}?"
    rf"\b(?:{RULES}|above|everything|context|previous|prior|earlier|anweisungen?|regeln|vorherige\w*|"
    r"bisherige\w*|obige\w*|anteriores?|précédente?s?)\b"
    rf"(?:\s+(?:{RULES}|you (?:were|have been) given|that came before|given to you|above|so far|"
    r"before|anweisungen|regeln|anteriores|previas|précédente?s))*",
    re.IGNORECASE,
)
ADDRESSED = re.compile(
    r"^\W*(?:(?:note|message|instructions?|attention|important|hinweis|nachricht|"
    r"anweisung|nota|aviso|mensaje|instrucci(?:ón|ones)|note|message|consignes?)\s+(?:note\s+)?"
    r"(?:to|for|an|für|para|a|pour|à)\s+"
    r"(?:the\s+|any\s+|all\s+|die\s+|den\s+|das\s+|el\s+|la\s+|l['’]|le\s+)?)?"
    r"(?:(?:dear|hey|liebe[rs]?|if you are (?:an?|the))\s+)?"
    rf"(?:{AI}(?:\s+{AI})?(?:\s+reading this)?|system(?:\s+(?:note|message|prompt|override))?|new instructions?|"
    r"neue anweisung(?:en)?|nuevas? instrucci(?:ón|ones)|sistema|nouvelles? (?:instructions?|consignes?)|système)\s*"
    r"(?:[:,]|-|–|—)\s*",
    re.IGNORECASE,
)
MUST = re.compile(
    r"\b(?:(?P<sure>you (?:must|shall|are to|will|have to) (?:now|only|always)|from now on,?(?: "
    r"you)?(?: must| will| shall)?|"
    r"your new (?:task|instructions?|goal) (?:is|are)(?: to)?|you are now|du musst (?:jetzt|nur)|ab jetzt|ab sofort|"
    r"von nun an|deine neue aufgabe ist|a partir de ahora|debes (?:ahora|solo)|tu nueva tarea es|à partir de "
    r"maintenant|désormais|tu dois (?:maintenant|seulement)|ta nouvelle tâche est(?: de)?)|"
    r"you (?:must|shall|are to|will|have to)|du musst|debes|tu dois|vous devez)\b[:,]?\s*",
    re.IGNORECASE,
)
SEND = re.compile(
    r"^(?:please |bitte )?(?:send|forward|e-?mail|post|transfer|upload|leak|reveal|sende?|schicke?|"
    r"leite|verrate)\b.{0,80}"
    r"\b(?:password|passwords|data|records?|conversation|history|details|secrets?|keys?|prompt|"
    r"instructions|list|names|addresses|"
    r"daten|passw\w+|verlauf|anweisungen|adressen)\b",
    re.IGNORECASE | re.DOTALL,
)


LEAK = "I will show my instructions."
"""Stands for the instructions themselves, which the caller puts in its place."""
LEAKS = re.compile(
    r"\b(?:print|reveal|repeat|show|output|leak|write|recite|quote|verrate|zeige|wiederhole|muestra|revela|repite|montre|"
    r"révèle|répète|affiche)\w*\b.{0,40}?\b(?:system prompt|your (?:\w+ )?(?:instructions|prompt|rules)|deine "
    r"(?:\w+ )?anweisungen|systemprompt|(?:everything|all|the (?:text|words?|lines?)) (?:above|before)|"
    r"tus (?:\w+ )?instrucciones|tes (?:\w+ )?(?:instructions|consignes))\b",
    re.IGNORECASE,
)
EVERYTHING = "I will show my documents."
"""Stands for all the documents, as `LEAK` does for the instructions."""
SHOWS_ALL = re.compile(
    r"\b(?:print|reveal|repeat|show|output|leak|write|recite|quote|list|dump|copy|paste|verrate|zeige|wiederhole|gib|"
    r"muestra|revela|repite|montre|révèle|répète|affiche)\w*\b.{0,40}?\b(?:(?:every|each|all|all of)\s(?:\w+\s){0,3}?"
    r"(?:doc(?:ument)?s?|articles?|texts?|pages?|context|sources?|notes?)|alle\w*\s(?:\w+\s){0,2}?(?:dokumente|artikel|"
    r"texte)|todos\s(?:\w+\s){0,2}?(?:documentos|artículos|textos)|tous\s(?:\w+\s){0,2}?(?:documents|articles|textes))\b",
    re.IGNORECASE,
)
# Said to an assistant, and only there an order: a recipe, too, says what to add.
DOES = re.compile(
    r"(?:^|[.!?:;,]\s+|\b(?:and|then|please|und|dann|y|et)\s+)"
    r"(?:add|append|insert|attach|put|show|display|place|recommend|quote|mention|füge|hänge|zeige|nenne|añade|incluye|"
    r"muestra|recomienda|ajoute[zr]?|affiche[zr]?|inclus|recommande[zr]?)\b"
    r"(?:[^:\"“”„«»]{0,80}[:\"“„«])?\s*(?P<said>.+)",
    re.IGNORECASE | re.DOTALL,
)
CALLS = re.compile(
    r"\b(?:call|use|run|invoke|execute|trigger|start|rufe?|benutze|verwende|nutze|starte|llama|usa|utiliza|ejecuta|"
    r"invoca|appelle[zr]?|utilise[zr]?|lance[zr]?|exécute[zr]?)\b",
    re.IGNORECASE,
)
"""Before the name of a tool, these order it to be called: only an assistant has tools."""
