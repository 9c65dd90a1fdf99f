%% @private Options in a supervisor's child, whose arguments stand in its reports: a cookie is nobody's business.
%%
%% A module of its own, because a function holds on to the code that it was made in: when that is loaded anew twice,
%% whoever has the function is killed. So this one has nothing that would have to change.
-module(beamroute_secret).

-export([wrap/1, unwrap/1]).

-spec wrap(term()) -> fun(() -> term()).
wrap(Term) -> fun() -> Term end.

-spec unwrap(term()) -> term().
unwrap(Fun) when is_function(Fun, 0) -> Fun();
unwrap(Term) -> Term.
