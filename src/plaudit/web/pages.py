"""The pages of whoever labels: sign in, join, guidelines, work, history, account. Leads' pages are in `lead_pages.py`.

What every template is given:

    t(key, **values)      text in the user's language, from `locales/LANGUAGE.json` (key -> text, `{name}` is filled in)
    language              "en", "ja"
    languages             [("en", "English"), ("ja", "日本語")]
    csrf                  goes into every form as <input type="hidden" name="csrf">, and into <meta name="csrf">
    account               None, or .name, .role ("annotator", "lead", "owner"), .key (opaque, for <meta name="account">)
    project               the project's name
    problem               None, or a sentence (in the user's language) on what was wrong with the form that was sent
    notice                None, or a key for `t`: what was done ("notice-saved", "notice-language", "notice-password",
                          "notice-published", "notice-disabled", "notice-enabled", "notice-revoked", "notice-role",
                          "notice-withdrawn", "notice-uninvited")
    least_characters      of a password

and beside that (forms are sent by POST to the address named, with `csrf` and the fields named):

    signin.html           name (as typed before), next
        POST /signin              name, password, next
        POST /signout             (from any page)
    join.html             role, name (as typed; fixed where `known` is true: a new password for a known account), known
        POST /join/{token}        name, password, language        (to the page's own address)
    guidelines.html       guidelines (None, or .version .html .published), read (this version was confirmed)
        POST /guidelines          version
    work.html             nothing more: the script reads /api/task
    history.html          nothing more: the script reads /api/history
    account.html          sessions: [.begun .seen .this]  (this: the one that asks)
        POST /account/password    current, new
        POST /account/language    language
        POST /account/sign-out-everywhere
    error.html            status (404), sentence
"""
