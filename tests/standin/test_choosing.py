"""Three invented catalogues of ten tools, and how often each tier makes the calls that a question needs.

The bars are what was measured, rounded down.
"""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema

from patterns.standin import choosing, reading
from patterns.standin.choosing import Call
from patterns.standin.embedding import encode

Tool = dict[str, Any]


def tool(name: str, description: str, parameters: Mapping[str, Any], optional: tuple[str, ...] = ()) -> Tool:
    """A function tool; a parameter given as a string is a string with that description."""
    properties = {
        key: {"type": "string", "description": one} if isinstance(one, str) else one for key, one in parameters.items()
    }
    required = [key for key in properties if key not in optional]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


DATE = {"type": "string", "format": "date", "description": "Day, YYYY-MM-DD"}
LIBRARY = [
    tool(
        "search_catalogue",
        "Find books, films and recordings by subject, author or title.",
        {"query": "What to look for"},
    ),
    tool(
        "loan_status", "When a borrowed item is due and whether it is overdue.", {"loan_id": "Loan number, like L-4410"}
    ),
    tool(
        "renew_loan",
        "Extend a loan so that the reader can keep the item longer.",
        {"loan_id": "Loan number, like L-4410"},
    ),
    tool(
        "reserve_item",
        "Put a hold on an item that is out, to be collected when it comes back.",
        {"item_id": "Shelf mark, like QA-77"},
    ),
    tool("fines_of_reader", "What a reader owes in late fees.", {"card_number": "Number of the reader's card"}),
    tool(
        "opening_hours",
        "When a branch is open on a given day.",
        {"branch": {"enum": ["central", "harbour", "university"]}, "date": DATE},
        ("date",),
    ),
    tool(
        "book_study_room",
        "Reserve a quiet room for a group to work in.",
        {"date": DATE, "people": {"type": "integer", "description": "number of people", "minimum": 1, "maximum": 12}},
    ),
    tool(
        "report_damage",
        "Tell the staff that an item is torn, stained or does not play.",
        {"item_id": "Shelf mark, like QA-77", "description": "What is wrong"},
    ),
    tool("suggest_purchase", "Propose a title that the library should buy.", {"title": "The title to buy"}),
    tool(
        "upcoming_events",
        "Readings, workshops and story times in the coming weeks.",
        {"kind": {"enum": ["reading", "workshop", "children"]}},
        ("kind",),
    ),
]
HOSPITAL = [
    tool(
        "find_patient",
        "Look up a patient's record by name and get the patient id.",
        {"name": "Full name of the patient"},
    ),
    tool("list_appointments", "The coming appointments of a patient.", {"patient_id": "Patient id, like P-120"}),
    tool(
        "cancel_appointment",
        "Call off an appointment that is not needed any more.",
        {"appointment_id": "Appointment number, like A-9"},
    ),
    tool(
        "move_appointment",
        "Reschedule an appointment to another day.",
        {"appointment_id": "Appointment number, like A-9", "date": DATE},
    ),
    tool(
        "visiting_hours",
        "When relatives may visit a ward.",
        {"ward": {"enum": ["surgery", "maternity", "cardiology", "paediatrics"]}},
    ),
    tool(
        "free_beds",
        "How many beds are free on a ward.",
        {"ward": {"enum": ["surgery", "maternity", "cardiology", "paediatrics"]}},
    ),
    tool("lab_result", "The result of a blood or tissue sample.", {"sample_id": "Sample number, like S-301"}),
    tool(
        "request_porter",
        "Ask for someone to push a bed or wheelchair to another place.",
        {"origin": "Where from", "destination": "Where to"},
    ),
    tool(
        "order_meal",
        "Order a meal for a patient, with a diet.",
        {"patient_id": "Patient id, like P-120", "diet": {"enum": ["normal", "vegetarian", "diabetic", "liquid"]}},
    ),
    tool(
        "invoice_of_stay",
        "What a stay cost and what the insurance paid.",
        {"invoice_number": "Invoice number, like I-77"},
    ),
]
RAILWAY = [
    tool(
        "find_connections",
        "Train connections between two stations.",
        {"origin": "Station to leave from", "destination": "Station to arrive at"},
    ),
    tool(
        "delay_of_train",
        "Whether a train is late and by how many minutes.",
        {"train": {"type": "string", "description": "Train number, like RE-14", "pattern": "^[A-Z]{2,3}-\\d+$"}},
    ),
    tool("platform_of_train", "The track on which a train stops.", {"train": "Train number, like RE-14"}),
    tool(
        "book_seat",
        "Reserve seats on a train.",
        {
            "train": "Train number, like RE-14",
            "seats": {"type": "integer", "description": "How many seats", "minimum": 1, "maximum": 9},
        },
    ),
    tool(
        "refund_ticket",
        "Pay back the price of a ticket that was not used or whose train was cancelled.",
        {"ticket_id": "Ticket number, like T-5501"},
    ),
    tool(
        "fare",
        "What a journey costs.",
        {
            "origin": "Station to leave from",
            "destination": "Station to arrive at",
            "travel_class": {"enum": ["first", "second"]},
        },
        ("travel_class",),
    ),
    tool(
        "lost_property",
        "Report or look for a thing left behind on a train.",
        {"description": "What the thing looks like"},
    ),
    tool(
        "wheelchair_help",
        "Arrange for staff with a ramp to help a traveller board.",
        {"station": "Station to board at", "date": DATE},
    ),
    tool("bicycle_spaces", "Whether a train still has room for bicycles.", {"train": "Train number, like RE-14"}),
    tool("station_services", "Lockers, lifts, toilets and shops at a station.", {"station": "Name of the station"}),
]

Case = tuple[str, list[tuple[str, dict[str, Any]]]]
LIBRARY_CASES: list[Case] = [
    ("Do you have anything about bees?", [("search_catalogue", {})]),
    ("I am looking for novels by Ursula Marsh.", [("search_catalogue", {})]),
    ("When do I have to bring back loan L-2207?", [("loan_status", {"loan_id": "L-2207"})]),
    ("Is L-5120 overdue?", [("loan_status", {"loan_id": "L-5120"})]),
    ("Can I keep L-88 for another month?", [("renew_loan", {"loan_id": "L-88"})]),
    (
        "Please extend my loans L-31 and L-32.",
        [("renew_loan", {"loan_id": "L-31"}), ("renew_loan", {"loan_id": "L-32"})],
    ),
    ("Put me on the waiting list for QB-12, someone else has it.", [("reserve_item", {"item_id": "QB-12"})]),
    ("How much do I still have to pay? My card is 70211.", [("fines_of_reader", {"card_number": "70211"})]),
    ("Is the harbour branch open on 2026-05-02?", [("opening_hours", {"branch": "harbour", "date": "2026-05-02"})]),
    ("What time does the university library close?", [("opening_hours", {"branch": "university"})]),
    ("We need a quiet place for 4 people on 2026-06-11.", [("book_study_room", {"date": "2026-06-11", "people": 4})]),
    ("The disc KR-5 is scratched and will not play.", [("report_damage", {"item_id": "KR-5"})]),
    ("Someone has spilled coffee over MA-40.", [("report_damage", {"item_id": "MA-40"})]),
    ('You should really buy "The Glass Orchard".', [("suggest_purchase", {"title": "The Glass Orchard"})]),
    ("Is there a story time for my little daughter?", [("upcoming_events", {"kind": "children"})]),
    ("Which workshops are coming up?", [("upcoming_events", {"kind": "workshop"})]),
    (
        "When is L-9 due and when is the central branch open?",
        [("loan_status", {"loan_id": "L-9"}), ("opening_hours", {"branch": "central"})],
    ),
    ("Hello!", []),
    ("What is the capital of Peru?", []),
    ("Can I have more time with my book?", []),
    ("Thank you, that was all.", []),
    ("Wann ist die Ausleihe L-77 fällig?", [("loan_status", {"loan_id": "L-77"})]),
]
HOSPITAL_CASES: list[Case] = [
    ("Which id has the patient Ines Falk?", [("find_patient", {"name": "Ines Falk"})]),
    ("Look for the record of Tom Ahrens.", [("find_patient", {"name": "Tom Ahrens"})]),
    ("When does P-12 have to come in next?", [("list_appointments", {"patient_id": "P-12"})]),
    (
        "Show the appointments of P-7 and P-8.",
        [("list_appointments", {"patient_id": "P-7"}), ("list_appointments", {"patient_id": "P-8"})],
    ),
    ("I am well again and will not come to A-31.", [("cancel_appointment", {"appointment_id": "A-31"})]),
    ("Cancel A-5, please.", [("cancel_appointment", {"appointment_id": "A-5"})]),
    ("Could A-14 be on 2026-04-09 instead?", [("move_appointment", {"appointment_id": "A-14", "date": "2026-04-09"})]),
    ("Please reschedule A-2 to 3 May 2026.", [("move_appointment", {"appointment_id": "A-2", "date": "2026-05-03"})]),
    ("From when to when can I see my wife in maternity?", [("visiting_hours", {"ward": "maternity"})]),
    ("Is there room for one more in cardiology?", [("free_beds", {"ward": "cardiology"})]),
    ("How many empty beds has surgery got?", [("free_beds", {"ward": "surgery"})]),
    ("Is the blood test S-88 back?", [("lab_result", {"sample_id": "S-88"})]),
    ("What did they find in sample S-301?", [("lab_result", {"sample_id": "S-301"})]),
    (
        "Somebody has to wheel a bed from Radiology to Surgery.",
        [("request_porter", {"origin": "Radiology", "destination": "Surgery"})],
    ),
    ("P-40 would like lunch without meat.", [("order_meal", {"patient_id": "P-40"})]),
    ("A diabetic dinner for P-9, please.", [("order_meal", {"patient_id": "P-9", "diet": "diabetic"})]),
    ("How much of I-12 did the insurance pay?", [("invoice_of_stay", {"invoice_number": "I-12"})]),
    (
        "Is S-4 ready and are there free beds in paediatrics?",
        [("lab_result", {"sample_id": "S-4"}), ("free_beds", {"ward": "paediatrics"})],
    ),
    ("When is the next appointment of Ada Nowak?", [("find_patient", {"name": "Ada Nowak"})]),
    ("I want to call off my appointment.", []),
    ("Good morning", []),
    ("Who won the football match yesterday?", []),
]
RAILWAY_CASES: list[Case] = [
    (
        "How do I get from Altdorf to Neustadt?",
        [("find_connections", {"origin": "Altdorf", "destination": "Neustadt"})],
    ),
    (
        "Are there trains from Birkenau to Seeheim in the evening?",
        [("find_connections", {"origin": "Birkenau", "destination": "Seeheim"})],
    ),
    ("Is RE-14 on time?", [("delay_of_train", {"train": "RE-14"})]),
    ("How many minutes late is ICE-702?", [("delay_of_train", {"train": "ICE-702"})]),
    ("Are RB-3 and RB-9 delayed?", [("delay_of_train", {"train": "RB-3"}), ("delay_of_train", {"train": "RB-9"})]),
    ("From which track does RE-8 leave?", [("platform_of_train", {"train": "RE-8"})]),
    ("Reserve 3 seats on ICE-55, please.", [("book_seat", {"train": "ICE-55", "seats": 3})]),
    ("My train was cancelled, I want the money for T-5501 back.", [("refund_ticket", {"ticket_id": "T-5501"})]),
    ("I did not use T-19. Do I get my money back?", [("refund_ticket", {"ticket_id": "T-19"})]),
    (
        "How expensive is it to go from Altdorf to Seeheim in first class?",
        [("fare", {"origin": "Altdorf", "destination": "Seeheim", "travel_class": "first"})],
    ),
    ("What does a trip from Neustadt to Birkenau cost?", [("fare", {"origin": "Neustadt", "destination": "Birkenau"})]),
    ("I left a green umbrella on the train.", [("lost_property", {})]),
    ("Has anyone found my black rucksack?", [("lost_property", {})]),
    (
        "I use a wheelchair and board in Altdorf on 2026-07-01, who helps me?",
        [("wheelchair_help", {"station": "Altdorf", "date": "2026-07-01"})],
    ),
    ("Can I take my bike on RE-20?", [("bicycle_spaces", {"train": "RE-20"})]),
    ("Is there a lift in Seeheim?", [("station_services", {"station": "Seeheim"})]),
    ("Where can I leave my luggage in Neustadt?", [("station_services", {"station": "Neustadt"})]),
    (
        "Is RE-5 late, and which platform does it stop at?",
        [("delay_of_train", {"train": "RE-5"}), ("platform_of_train", {"train": "RE-5"})],
    ),
    ("Hat RE-33 Verspätung?", [("delay_of_train", {"train": "RE-33"})]),
    ("Give me my money back!", []),
    ("hi there", []),
    ("What is the square root of 81?", []),
]
# Written after the tiers were tuned on the three catalogues above, and not tuned on since.
MUSEUM = [
    tool(
        "search_collection",
        "Search the objects of the collection by artist, period or subject.",
        {"query": "What to search for"},
    ),
    tool(
        "object_location",
        "In which room an object is shown, or whether it is in storage.",
        {"object_number": "Inventory number, like M-1204"},
    ),
    tool(
        "ticket_price",
        "What admission costs for a kind of visitor.",
        {"visitor": {"enum": ["adult", "child", "student", "senior"]}},
    ),
    tool(
        "book_tour",
        "Book a guided tour for a group.",
        {"date": DATE, "people": {"type": "integer", "minimum": 1, "maximum": 30, "description": "Size of the group"}},
    ),
    tool("cancel_booking", "Cancel a booked tour.", {"booking_id": "Booking number, like B-55"}),
    tool(
        "exhibitions",
        "Current and coming temporary exhibitions.",
        {"month": {"type": "string", "description": "Month, YYYY-MM", "pattern": "^\\d{4}-\\d{2}$"}},
        ("month",),
    ),
    tool(
        "image_licence",
        "Request permission to print a photograph of an object.",
        {"object_number": "Inventory number, like M-1204", "purpose": "What the picture is for"},
        ("purpose",),
    ),
    tool("membership_status", "Until when a membership is valid.", {"member_number": "Membership number, like F-310"}),
    tool("accessibility", "Lifts, wheelchairs to borrow, and tours in sign language.", {}),
    tool(
        "report_fault",
        "Report a broken screen, lamp or audio guide to the technicians.",
        {"room": {"type": "integer", "description": "Room number"}, "fault": "What does not work"},
    ),
]
MUSEUM_CASES: list[Case] = [
    ("Have you got any paintings of ships?", [("search_collection", {})]),
    ("Search for vases from the bronze age.", [("search_collection", {})]),
    ("Where is M-881 hanging?", [("object_location", {"object_number": "M-881"})]),
    ("Is M-17 on display at the moment?", [("object_location", {"object_number": "M-17"})]),
    ("How much does a student pay to get in?", [("ticket_price", {"visitor": "student"})]),
    ("What is the entrance fee for my seven-year-old child?", [("ticket_price", {"visitor": "child"})]),
    ("We would like a guide on 2026-09-12, there are 14 of us.", [("book_tour", {"date": "2026-09-12", "people": 14})]),
    ("Book a tour for 8 people on 2026-10-01.", [("book_tour", {"date": "2026-10-01", "people": 8})]),
    ("We cannot come, please cancel B-91.", [("cancel_booking", {"booking_id": "B-91"})]),
    ("Our tour B-12 will not take place.", [("cancel_booking", {"booking_id": "B-12"})]),
    ("Which special exhibitions are coming?", [("exhibitions", {})]),
    ("May I print a picture of M-40 in my book?", [("image_licence", {"object_number": "M-40"})]),
    ("Is my membership F-22 still valid?", [("membership_status", {"member_number": "F-22"})]),
    ("When does F-307 run out?", [("membership_status", {"member_number": "F-307"})]),
    ("Can I borrow a wheelchair?", [("accessibility", {})]),
    ("My father cannot climb stairs, is there a lift?", [("accessibility", {})]),
    ("The lamp in room 6 is flickering.", [("report_fault", {"room": 6})]),
    ("The audio guide in room 12 is silent.", [("report_fault", {"room": 12})]),
    (
        "Where are M-3 and M-4?",
        [("object_location", {"object_number": "M-3"}), ("object_location", {"object_number": "M-4"})],
    ),
    (
        "Is F-9 valid, and what does a senior pay?",
        [("membership_status", {"member_number": "F-9"}), ("ticket_price", {"visitor": "senior"})],
    ),
    ("Cancel my tour.", []),
    ("Good evening!", []),
    ("How do I bake bread?", []),
]
CATALOGUES = ((LIBRARY, LIBRARY_CASES), (HOSPITAL, HOSPITAL_CASES), (RAILWAY, RAILWAY_CASES))


def asked(question: str, *before: dict[str, Any]) -> reading.Prompt:
    return reading.read(
        [{"role": "system", "content": "You help people."}, *before, {"role": "user", "content": question}]
    )


def right(calls: tuple[Call, ...], wanted: list[tuple[str, dict[str, Any]]]) -> tuple[bool, bool]:
    """Whether the tools are the right ones, and whether the arguments named in the case are too."""
    tools = sorted(call.name for call in calls) == sorted(name for name, _ in wanted)
    left = list(calls)
    for name, arguments in wanted:
        found = next((one for one in left if one.name == name and arguments.items() <= one.arguments.items()), None)
        if found is None:
            return tools, False
        left.remove(found)
    return tools, not left


def measured(meaning: Any, catalogues: Any = CATALOGUES) -> dict[str, float]:
    total = tools = arguments = made = valid = 0
    for catalogue, cases in catalogues:
        schemas = {one["function"]["name"]: one["function"]["parameters"] for one in catalogue}
        for question, wanted in cases:
            calls = choosing.choose(catalogue, asked(question), meaning, "auto", True)
            both = right(calls, wanted)
            total, tools, arguments = total + 1, tools + both[0], arguments + both[1]
            for call in calls:
                made += 1
                valid += jsonschema.Draft202012Validator(schemas[call.name]).is_valid(call.arguments)
            if not all(both):
                print(f"{'large' if meaning else 'small'}: {question!r} -> {calls}")
    return {"tools": tools / total, "arguments": arguments / total, "valid": valid / made}


def test_the_large_tier_picks_the_right_tool_and_the_small_one_does_clearly_worse() -> None:
    large, small = measured(encode), measured(None)
    print(large, small)
    assert large["tools"] >= 0.9
    assert large["arguments"] >= 0.85
    assert large["valid"] >= 0.95
    assert small["tools"] <= large["tools"] - 0.1


def test_it_holds_on_a_catalogue_it_was_not_tuned_on() -> None:
    large, small = measured(encode, [(MUSEUM, MUSEUM_CASES)]), measured(None, [(MUSEUM, MUSEUM_CASES)])
    print(large, small)
    assert large["tools"] >= 0.8
    assert large["valid"] == 1
    assert small["tools"] <= large["tools"] - 0.1


def called(name: str, arguments: dict[str, Any], result: Any) -> list[dict[str, Any]]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": json.dumps(result)},
    ]


def test_a_call_is_not_repeated_when_its_result_is_there() -> None:
    messages = [{"role": "user", "content": "Is RE-14 on time?"}]
    assert choosing.choose(RAILWAY, reading.read(messages), encode) == (Call("delay_of_train", {"train": "RE-14"}),)
    messages += called("delay_of_train", {"train": "RE-14"}, {"train": "RE-14", "minutes_late": 4})
    assert choosing.choose(RAILWAY, reading.read(messages), encode) == ()
    assert choosing.missing(RAILWAY, reading.read(messages), encode) is None


def test_a_result_provides_the_argument_of_the_next_call() -> None:
    messages = [{"role": "user", "content": "When is the next appointment of Ada Nowak?"}]
    assert choosing.choose(HOSPITAL, reading.read(messages), encode) == (Call("find_patient", {"name": "Ada Nowak"}),)
    messages += called("find_patient", {"name": "Ada Nowak"}, {"patient_id": "P-31", "name": "Ada Nowak"})
    assert choosing.choose(HOSPITAL, reading.read(messages), encode) == (
        Call("list_appointments", {"patient_id": "P-31"}),
    )


def test_an_argument_is_taken_from_an_earlier_turn() -> None:
    before = ({"role": "user", "content": "My loan is L-314."}, {"role": "assistant", "content": "Thank you."})
    assert choosing.choose(LIBRARY, asked("Can I keep my loan for longer?", *before), encode) == (
        Call("renew_loan", {"loan_id": "L-314"}),
    )


def test_what_is_missing_is_asked_for_by_the_large_tier_and_guessed_by_the_small_one() -> None:
    question = asked("I want to call off my appointment.")
    assert choosing.choose(HOSPITAL, question, encode) == ()
    assert choosing.missing(HOSPITAL, question, encode) == "Which appointment ID is it about?"
    assert choosing.missing(HOSPITAL, question, None) is None
    assert [call.name for call in choosing.choose(HOSPITAL, question, None)] == ["cancel_appointment"]


def test_tool_choice_is_obeyed() -> None:
    question = asked("Hello!")
    named = {"type": "function", "function": {"name": "free_beds"}}
    assert choosing.choose(HOSPITAL, asked("Is RE-14 late?"), encode, "none") == ()
    assert [call.name for call in choosing.choose(HOSPITAL, question, encode, named)] == ["free_beds"]
    assert len(choosing.choose(HOSPITAL, asked("Tell me something."), encode, "required")) == 1
    assert len(choosing.choose(HOSPITAL, question, encode, "required")) == 1
    both = asked("Cancel A-5 and A-6.")
    assert len(choosing.choose(HOSPITAL, both, encode, parallel=True)) == 2
    assert len(choosing.choose(HOSPITAL, both, encode, parallel=False)) == 1


def test_no_tool_is_called_for_what_the_documents_say() -> None:
    document = '<DOC id="v">Relatives may visit the maternity ward from 14:00 to 19:00.</DOC>'
    question = f"{document}\nWhen may relatives visit the maternity ward?"
    assert choosing.choose(HOSPITAL, reading.read([{"role": "user", "content": question}]), encode) == ()
