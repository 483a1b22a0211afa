"""What a code means, and what to do about it: tables, and a rule for codes that nobody has listed. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from broadcaster.report.figures import Kind


class Advice(NamedTuple):
    """One sentence each."""

    meaning: str
    advice: str


_TOP_UP = "Top the account up, then run 'broadcaster retry-failed' or, if the run stopped, 'broadcaster resume'."
_NUMBERS = "Correct the number in failed.csv and send that file, or take it off the list."
_TEMPLATE = "Have the template approved for this channel in Sent's dashboard, then run 'broadcaster retry-failed'."
_NEVER = "Leave them alone: never send to them again, and add them to a suppression list."
_LATER = "Wait an hour, then run 'broadcaster retry-failed'."
_OTHER_CHANNEL = "Send these on another channel."
_ASK = "Run 'broadcaster resume' within the idempotency window: the API answers it without sending anything twice."
_LOOK = "Run 'broadcaster reconcile' to look for the messages, then 'broadcaster resolve' to decide about the rest."
_KEY = "Check the API key and the account in Sent's dashboard, then run 'broadcaster resume'."
_SUPPORT = "Ask Sent's support with the request id from the manifest."

EXCLUDED: Mapping[str, Advice] = MappingProxyType(
    {
        "malformed_row": Advice(
            "The row has not as many cells as the header.",
            "Correct the row in excluded.csv: usually a comma or a quote too many.",
        ),
        "invalid_number": Advice(
            "Nobody can be dialled under this number.",
            "Correct it in excluded.csv. Many at once: check the phone column and the default region.",
        ),
        "suppressed": Advice(
            "The person has opted out, or is on a suppression list.", "Nothing to do: they must not be messaged."
        ),
        "missing_parameter": Advice(
            "A column that the message needs is empty.", "Fill the cell in excluded.csv and send that file."
        ),
        "invalid_parameter": Advice(
            "A value has a line break, a tab or many spaces, which the API refuses.",
            "Correct the cell in excluded.csv and send that file.",
        ),
        "invalid_channel": Advice(
            "The row asks for a channel that does not exist.", "Write sms, whatsapp, rcs, mms or auto."
        ),
        "invalid_timezone": Advice(
            "The row's own column names no time zone.", "Write an IANA name such as Europe/Berlin, or leave it empty."
        ),
        "unknown_zone": Advice(
            "The number may be in several time zones, or in any, and no time is known to suit.",
            "Name the zone in a column of the list (recipients.timezone), or set schedule.unknown_zone.",
        ),
        "too_late": Advice(
            "The next time that suits the recipient is after schedule.not_after.",
            "Plan them under another campaign name with a later not_after, if it is not too late.",
        ),
        "filtered": Advice("The row does not match the job's filter.", "Nothing to do, if the filter is as it should."),
        "unknown_profile": Advice(
            "The row names none of the job's profiles.", "Correct the cell in excluded.csv and send that file."
        ),
        "duplicate": Advice(
            "An earlier row has the same number.", "Nothing to do: they get the message once, by the earlier row."
        ),
        "skipped_in_doubt": Advice(
            "A person decided not to send it again; whether it was sent is not known.",
            "Nothing to do here; if they complain, ask Sent about the number.",
        ),
    }
)
"""Why a row was never sent, for a reason of ours."""

API: Mapping[str, Advice] = MappingProxyType(
    {
        "AUTH_001": Advice("The request had no valid key.", _KEY),
        "AUTH_002": Advice("The API does not know the key.", _KEY),
        "AUTH_004": Advice(
            "The key may not do this, or is a profile's own key and SENT_PROFILE_ID is set beside it.", _KEY
        ),
        "AUTH_005": Advice("The account is not activated.", "Activate it in Sent's dashboard, then resume."),
        "AUTH_006": Advice("The account's identity check is not complete.", "Complete it in Sent's dashboard."),
        "AUTH_007": Advice("The account's channels are not set up.", "Set them up in Sent's dashboard, then resume."),
        "VALIDATION_001": Advice("The API refuses a value of the request.", "Read the sentence in failed.csv."),
        "VALIDATION_002": Advice("The API takes the number for none.", _NUMBERS),
        "VALIDATION_003": Advice("The template id is no id.", "Correct message.template_id in the job."),
        "VALIDATION_004": Advice(
            "The API misses a field, most likely a variable of the template.",
            "Compare message.parameters in the job with the template's variables.",
        ),
        "VALIDATION_005": Advice("A value is longer or larger than the API allows.", "Shorten it in failed.csv."),
        "VALIDATION_006": Advice("A channel or another word is unknown to the API.", "Correct message.channels."),
        "VALIDATION_007": Advice("The API refuses the idempotency key.", "Report it: this is a fault of this program."),
        "VALIDATION_008": Advice("The API refuses a value of a variable.", "Correct the value in failed.csv."),
        "RESOURCE_002": Advice("The API does not know the template.", "Correct message.template_id in the job."),
        "RESOURCE_014": Advice("The API does not know the profile.", "Correct SENT_PROFILE_ID."),
        "BUSINESS_002": Advice("More requests than the account's limit.", "Lower limits.requests_per_minute."),
        "BUSINESS_003": Advice("The account's balance is not enough.", _TOP_UP),
        "BUSINESS_004": Advice("The person has opted out.", _NEVER),
        "BUSINESS_005": Advice("The template is not approved.", _TEMPLATE),
        "BUSINESS_007": Advice("The channel is not available to the account.", _OTHER_CHANNEL),
        "BUSINESS_008": Advice("The account's quota is used up.", "Raise the quota or wait until it is renewed."),
        "BUSINESS_012": Advice("The template is not active on this channel.", _TEMPLATE),
        "BUSINESS_014": Advice("The account is suspended.", "Ask Sent's support; nothing can be sent until then."),
        "BUSINESS_029": Advice(
            "The number that it is sent from is not active.", "Activate it in Sent's dashboard, then retry."
        ),
        "CONFLICT_001": Advice("The same request is still being worked on.", _ASK),
        "CONFLICT_005": Advice(
            "The API remembers this key for another request.", "Report it: this is a fault of this program."
        ),
        "CONFLICT_006": Advice("The template is in review.", _TEMPLATE),
        "LIMIT_001": Advice("The account has a million scheduled messages.", "Wait until some of them have left."),
        "SERVICE_001": Advice("The API cannot check keys at the moment; nothing was done.", _ASK),
        "INTERNAL_001": Advice("The API failed.", _ASK),
        "INTERNAL_002": Advice("The API's database failed.", _ASK),
        "INTERNAL_003": Advice("A service behind the API failed.", _ASK),
        "INTERNAL_004": Advice("The API ran out of time.", _ASK),
        "INTERNAL_005": Advice("The API was not available.", _ASK),
        "DELIVERY_003": Advice("The operator could not reach the phone.", _LATER),
        "DELIVERY_007": Advice("The number is not registered on this channel.", _OTHER_CHANNEL),
        "CHANNEL_001": Advice("The channel could not be used.", _OTHER_CHANNEL),
        "CHANNEL_002": Advice("No channel leads to this number.", "Take the number off the list."),
        "ERR_CONSENT_BLOCKED": Advice("The person has opted out.", _NEVER),
        "ERR_ROUTE_DENIED": Advice("A rule of the account forbids this route.", "Check the account's routing rules."),
        "WHATSAPP_TEMPLATE_REQUIRED": Advice(
            "Free text needs an open conversation, and there is none.", "Send a template in place of message.text."
        ),
        "CONVERSATION_TEMPLATE_REQUIRED": Advice(
            "Free text needs an open conversation, and there is none.", "Send a template in place of message.text."
        ),
    }
)
"""What the API calls things, in answers and in receipts."""

DOUBT: Mapping[str, Advice] = MappingProxyType(
    {
        "no_answer": Advice("The program ended before an answer came.", _ASK),
        "lost": Advice("The connection broke before an answer came.", _ASK),
        "unreadable": Advice("The API said yes in a form that cannot be read.", _ASK),
        "partial": Advice("The answer has no entry for these recipients.", _LOOK),
        "missing_in_answer": Advice("The answer has no entry for these recipients.", _LOOK),
        "answer_too_large": Advice("The answer was longer than the API remembers.", _LOOK),
        "answer_size_unknown": Advice("The answer may have been longer than the API remembers.", _LOOK),
        "window_passed": Advice("The API has forgotten the key by now.", _LOOK),
        "foreign": Advice("The answer speaks of somebody else.", _SUPPORT),
    }
)
"""Why nobody knows whether a message was sent."""

STOPPED: Mapping[str, Advice] = MappingProxyType(
    {
        "halted": Advice(
            "A safety limit stopped the run.",
            "Look at the reasons below first; then raise safety.halt_count and safety.halt_share, and resume.",
        ),
        "count_unexpected": Advice(
            "The plan has another size than expected.", "Check the list, and --expect-recipients."
        ),
        "balance_exhausted": Advice("The account's balance or quota is used up.", _TOP_UP),
        "canary_failed": Advice(
            "What became of the first messages speaks against sending the rest, or too little is known of it.",
            "Mend what the reasons below name, then run 'broadcaster resume --skip-canary'.",
        ),
        "contract_broken": Advice("An answer contradicts what was asked.", _SUPPORT),
        "template_unusable": Advice("The template cannot be sent.", _TEMPLATE),
        "request_refused": Advice("The API refuses the request, whoever it is for.", "Correct the job's message."),
        "account_refused": Advice("The API refuses the key or the account.", _KEY),
        "schedule_stale": Advice(
            "It is too late: schedule.not_after has passed.",
            "If it may go out all the same, give the job a later not_after and run it again.",
        ),
        "window_shut": Advice("The job's window is shut.", "Run 'broadcaster resume' when it opens, or let it wait."),
        "unreachable": Advice("The API did not answer.", "Check the network, then run 'broadcaster resume'."),
        "fenced": Advice(
            "Another process took a shard of the run over.", "Nothing: it sends what is left, and nobody gets it twice."
        ),
        "stopped": Advice("Somebody stopped the run.", "Run 'broadcaster resume' to go on; nobody gets it twice."),
        "paused": Advice(
            "Somebody paused the run.", "Run 'broadcaster go' when it may go on, then 'broadcaster resume'."
        ),
        "difference_found": Advice("Message ids stand for several deliveries.", "Run 'broadcaster verify'."),
    }
)
"""What stopped a run, by the code of its error."""

_WORDS: Mapping[str, Advice] = MappingProxyType(
    {
        "failed": Advice("The operator could not deliver it, and does not say why.", _LATER),
        "blocked": Advice(
            "Sent holds it back, and does not say why: balance, template, sender and quota are the usual causes.",
            "Look at the account in Sent's dashboard; resend there once it is mended.",
        ),
        "filtered": Advice("Consent or a routing rule forbids it.", _NEVER),
        "cancelled": Advice("It was cancelled before it left.", "Nothing to do, if that was meant."),
    }
)
_SECTIONS: Mapping[Kind, tuple[Mapping[str, Advice], ...]] = MappingProxyType(
    {
        Kind.EXCLUDED: (EXCLUDED,),
        Kind.REJECTED: (API,),
        Kind.NOT_DELIVERED: (_WORDS, API),
        Kind.IN_DOUBT: (DOUBT,),
        Kind.STOPPED: (STOPPED,),
    }
)
_FAILING = ("INTERNAL_", "SERVICE_", "CONFLICT_", "http_5", "http_408", "http_409")
_UNLISTED: Mapping[Kind, Advice] = MappingProxyType(
    {
        Kind.EXCLUDED: Advice("", "Read the sentence in excluded.csv."),
        Kind.REJECTED: Advice("The API refused it.", "Read the sentence in failed.csv, and Sent's list of errors."),
        Kind.NOT_DELIVERED: Advice("The operator's own word.", _SUPPORT),
        Kind.IN_DOUBT: Advice("A repeat was refused, which proves nothing of the first attempt.", _LOOK),
        Kind.STOPPED: Advice("", "Read the sentence above; 'broadcaster resume' goes on once it is mended."),
    }
)


def advise(kind: Kind, code: str) -> Advice:
    """Return what *code* means for a message that stopped at *kind*, and what to do about it."""
    for table in _SECTIONS[kind]:
        if code in table:
            return table[code]
    if code.startswith("AUTH_"):
        return Advice("The API refuses the key or the account.", _KEY)
    if kind is Kind.NOT_DELIVERED and code.startswith("DELIVERY_"):
        return Advice("The operator could not deliver it.", _LATER)
    if kind is Kind.IN_DOUBT and code.startswith(_FAILING):
        return API.get(code, Advice("The API failed, and may have sent them all the same.", _ASK))
    return _UNLISTED[kind]
