"""The pages of leads and owners. Every change they make stands in the log of actions.

Beside what every template is given (`pages.py`):

    lead.html             report (a dict: the figures of `plaudit quality --json`; None where there is nothing to report),
                          sentence (why not), progress: {"tasks", "judgements", "demonstrations", "people"},
                          guidelines_version (None or a number)
    people.html           people: [.name .role .disabled (bool) .language .joined .sessions (open ones) .judgements
                          .mine (it is you) .may_change (you may)],
                          invitations: [.id .role .by .made .expires .known (name it resets, or None)],
                          roles: the roles that you may give, link: None, or a one-time link to show now and never again,
                          link_role, link_name (None, or whose password it resets)
        POST /lead/people/invite      role                -> the page, with `link`
        POST /lead/people/reset       name                -> the page, with `link`
        POST /lead/people/uninvite    id
        POST /lead/people/disable     name
        POST /lead/people/enable      name
        POST /lead/people/revoke      name                (signs the person out everywhere)
        POST /lead/people/role        name, role
        POST /lead/people/withdraw    name, reason        (consent: what they said is used no more)
    lead_guidelines.html  versions: [.version .author .published .readers] newest first, texts: {language: Markdown}
                          (the newest, or as typed)
        POST /lead/guidelines         text_en, text_ja    (one `text_LANGUAGE` for each of `languages`; empty: none)
    project.html          settings (.name .question .attributes .flags .ask_strength .ask_better_answer .lease_minutes
                          .qualification_pass .hourly_cost .currency), form: the same, as texts to fill the fields with
        POST /lead/project            the same names; attributes and flags one a line; checkboxes: present or not
    log.html              actions: [.at .actor .action .target .details (a text)] newest first
"""
