nav-blind = Blind checks
blind-title = Blind checks
blind-why = Decided alerts are mixed, unmarked, into a reviewer's open ones, to see how well two people come to the same decision. The second decision changes nothing about the alert. The figure is one of the desk, not of a person.
blind-figure = How well the desk agrees with itself
blind-too-few = { $pairs } pairs so far: too few to say anything. From { $least } on there is a figure.
blind-no-variety = All { $n } pairs have one and the same decision: there is nothing to agree about by chance.
blind-kappa = Cohen's kappa { $kappa } (95 % interval { $low } to { $high }).
blind-pairs = From { $pairs } pairs, { $equal } % of them equal.
blind-what-it-says = 1 is full agreement, 0 as much as by chance. First and blind second decisions are compared, whoever made them.
blind-waiting =
    { $n ->
        [one] One check waits for its second decision.
       *[other] { $n } checks wait for their second decision.
    }
blind-differing = Alerts that were decided differently
blind-no-differing = None.
blind-asked = Mixed in on
blind-first = First decision
blind-second = Blind second decision
blind-ask = Mix in decided alerts
blind-reviewer = Account of the reviewer
blind-how-many = How many
blind-go = Mix in
blind-count = Allowed: 1 to { $most } at a time.
blind-none = There is no decided alert that this reviewer had nothing to do with and that was not checked yet.
