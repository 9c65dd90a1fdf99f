%% @private What a link has to send, and what it has sent and waits for.
%%
%% Wishes and requests are sent in the order in which they came, and no more at once than a window has room for: what
%% the daemon has not answered must not fill the buffer of the connection, which others use too. The rest waits here.
%% Requests of callers are bounded by their number, since each of them waits, and wishes by {@link beamroute_wishes}.
%%
%% What is to be kept is told to the keeper when it comes, and until it is answered.
-module(beamroute_outbox).

-export([new/3, keep_with/2, push/2, keep/2, flush/3, is_waiting/1, answered/2, expired/2, lost/1, sizes/1]).

-export_type([outbox/0, request/0, sent/0]).

%% Nobody may wait for it: the caller's time is over, or it is the link's own.
-type request() :: #{
    kind := write | read | subscription,
    term := term(),
    from := gen_statem:from() | none,
    is_kept := boolean(),
    last_known := boolean()
}.
-type sent() :: ok | busy | gone.

-record(entry, {
    number :: beamroute_wishes:seq(),
    request :: request(),
    %% Zero as long as it is not sent.
    bytes = 0 :: non_neg_integer()
}).

-record(outbox, {
    keeper :: beamroute_keeper:keeper(),
    max :: pos_integer(),
    last = 0 :: beamroute_wishes:seq(),
    entries = #{} :: #{reference() => #entry{}},
    %% References of entries that are not sent, and of such as are none any more.
    unsent = queue:new() :: queue:queue(reference()),
    wishes :: beamroute_wishes:wishes(),
    count = 0 :: non_neg_integer(),
    bytes = 0 :: non_neg_integer()
}).

-opaque outbox() :: #outbox{}.

%% Far from the megabyte at which a connection is busy.
-define(MAX_COUNT, 64).
-define(MAX_BYTES, 16#40000).

%% @doc Has the wishes that were kept, and room for those of so many interfaces.
-spec new(pos_integer(), beamroute_keeper:keeper(), [{beamroute_wishes:seq(), beamroute_wishes:wish()}]) -> outbox().
new(Max, Keeper, Kept) ->
    Empty = #outbox{keeper = Keeper, max = Max, wishes = beamroute_wishes:new(Max)},
    Last = lists:max([0 | [Number || {Number, _} <- Kept]]),
    lists:foldl(fun force/2, Empty#outbox{last = Last}, Kept).

%% @doc The keeper is a new one, which knows nothing.
-spec keep_with(beamroute_keeper:keeper(), outbox()) -> outbox().
keep_with(Keeper, #outbox{entries = Entries, wishes = Wishes} = Outbox) ->
    Asked = [{N, Wish} || #entry{number = N, request = #{is_kept := true, term := Wish}} <- maps:values(Entries)],
    lists:foreach(
        fun({Number, Wish}) -> beamroute_keeper:put(Keeper, {wish, Number}, Wish) end,
        Asked ++ beamroute_wishes:to_list(Wishes)
    ),
    Outbox#outbox{keeper = Keeper}.

%% @doc Adds a request.
-spec push(request(), outbox()) -> {reference(), outbox()}.
push(#{is_kept := IsKept, term := Term} = Request, #outbox{last = Last} = Outbox) ->
    Number = Last + 1,
    Ref = make_ref(),
    IsKept andalso beamroute_keeper:put(Outbox#outbox.keeper, {wish, Number}, Term),
    Pushed = Outbox#outbox{
        last = Number,
        entries = maps:put(Ref, #entry{number = Number, request = Request}, Outbox#outbox.entries),
        unsent = queue:in(Ref, Outbox#outbox.unsent)
    },
    {Ref, Pushed}.

%% @doc Adds a wish that nobody waits for.
-spec keep(beamroute_wishes:wish(), outbox()) -> {ok, outbox()} | {error, beamroute_wishes:refusal()}.
keep(Wish, #outbox{last = Last} = Outbox) ->
    Number = Last + 1,
    case keep(Number, Wish, Outbox) of
        {ok, Kept} ->
            ok = beamroute_keeper:put(Outbox#outbox.keeper, {wish, Number}, Wish),
            {ok, Kept#outbox{last = Number}};
        {error, _} = Error ->
            Error
    end.

keep(Number, Wish, #outbox{wishes = Wishes} = Outbox) ->
    case beamroute_wishes:add(Number, Wish, Wishes) of
        {ok, Void, Added} -> {ok, forget(Void, Outbox#outbox{wishes = Added})};
        {error, _} = Error -> Error
    end.

force({Number, Wish}, #outbox{wishes = Wishes} = Outbox) ->
    {Void, Added} = beamroute_wishes:force(Number, Wish, Wishes),
    forget(Void, Outbox#outbox{wishes = Added}).

forget(Numbers, #outbox{keeper = Keeper} = Outbox) ->
    lists:foreach(fun(Number) -> beamroute_keeper:delete(Keeper, {wish, Number}) end, Numbers),
    Outbox.

%% @doc Sends what there is room for: the link's own requests, or everything. `busy' and `gone' are what sending gave,
%% and then the last one counts as not sent, or as sent.
-spec flush(own | all, fun((reference(), term()) -> sent()), outbox()) -> {sent(), outbox()}.
flush(_, _, #outbox{count = Count, bytes = Bytes} = Outbox) when Count >= ?MAX_COUNT; Bytes >= ?MAX_BYTES ->
    {ok, Outbox};
flush(Which, Send, Outbox) ->
    case next(Which, Outbox) of
        {none, Left} ->
            {ok, Left};
        {Ref, #entry{request = #{term := Term}} = Entry, Left} ->
            case Send(Ref, Term) of
                ok -> flush(Which, Send, sent(Ref, Entry, Left));
                busy -> {busy, Outbox};
                gone -> {gone, sent(Ref, Entry, Left)}
            end
    end.

sent(Ref, #entry{request = #{term := Term}} = Entry, #outbox{count = Count, bytes = Bytes} = Outbox) ->
    Size = erlang:external_size(Term),
    Entries = maps:put(Ref, Entry#entry{bytes = Size}, Outbox#outbox.entries),
    Outbox#outbox{entries = Entries, count = Count + 1, bytes = Bytes + Size}.

next(Which, #outbox{unsent = Unsent, entries = Entries, wishes = Wishes} = Outbox) ->
    Oldest = beamroute_wishes:oldest(Wishes),
    case queue:peek(Unsent) of
        {value, Ref} when is_map_key(Ref, Entries) ->
            #entry{number = Number, request = #{from := From}} = Entry = maps:get(Ref, Entries),
            %% Atoms are larger than numbers. The link's own come before what was kept.
            case From =:= none orelse (Which =:= all andalso Number < Oldest) of
                true -> {Ref, Entry, Outbox#outbox{unsent = queue:drop(Unsent)}};
                false -> next_wish(Which, Oldest, Outbox)
            end;
        {value, _} ->
            next(Which, Outbox#outbox{unsent = queue:drop(Unsent)});
        empty ->
            next_wish(Which, Oldest, Outbox)
    end.

next_wish(Which, Oldest, Outbox) when Which =:= own; Oldest =:= none ->
    {none, Outbox};
next_wish(all, _, #outbox{wishes = Wishes} = Outbox) ->
    {Number, Wish, Others} = beamroute_wishes:take(Wishes),
    Request = #{kind => write, term => Wish, from => none, is_kept => true, last_known => false},
    {make_ref(), #entry{number = Number, request = Request}, Outbox#outbox{wishes = Others}}.

%% @doc Whether something is not sent yet.
-spec is_waiting(outbox()) -> boolean().
is_waiting(#outbox{entries = Entries, count = Count, wishes = Wishes}) ->
    map_size(Entries) > Count orelse beamroute_wishes:size(Wishes) > 0.

%% @doc The daemon has answered.
-spec answered(reference(), outbox()) -> {request(), outbox()} | unknown.
answered(Ref, #outbox{entries = Entries} = Outbox) ->
    case Entries of
        #{Ref := #entry{request = Request, bytes = Size} = Entry} when Size > 0 ->
            #outbox{count = Count, bytes = Bytes} = Outbox,
            Left = Outbox#outbox{entries = maps:remove(Ref, Entries), count = Count - 1, bytes = Bytes - Size},
            {Request, forget_entry(Entry, Left)};
        _ ->
            unknown
    end.

forget_entry(#entry{number = Number, request = #{is_kept := true}}, Outbox) -> forget([Number], Outbox);
forget_entry(_, Outbox) -> Outbox.

%% @doc The caller waits no longer. A wish that is to be kept stands until it is answered, and what was sent takes its
%% room until then.
-spec expired(reference(), outbox()) -> {gen_statem:from() | none, outbox()}.
expired(Ref, #outbox{entries = Entries} = Outbox) ->
    case Entries of
        #{Ref := #entry{request = #{from := From} = Request, bytes = Bytes} = Entry} when Bytes > 0 ->
            Left = Entry#entry{request = Request#{from := none}},
            {From, Outbox#outbox{entries = Entries#{Ref := Left}}};
        #{Ref := #entry{request = #{from := From}} = Entry} ->
            Without = Outbox#outbox{entries = maps:remove(Ref, Entries)},
            {_, Left} = stand(Entry, Without),
            {From, Left};
        _ ->
            {none, Outbox}
    end.

%% A request that is to be kept becomes a wish, if there is room.
stand(#entry{number = Number, request = #{is_kept := true, term := Wish, from := From}}, Outbox) when From =/= none ->
    case keep(Number, Wish, Outbox) of
        {ok, Kept} -> {ok, Kept};
        {error, _} = Error -> {Error, forget([Number], Outbox)}
    end;
stand(#entry{number = Number, request = #{is_kept := true, term := Wish}}, Outbox) ->
    {ok, force({Number, Wish}, Outbox)};
stand(_, Outbox) ->
    {{error, disconnected}, Outbox}.

%% @doc The daemon is gone: what was to be kept is, and everyone who waits is told `ok' or why it is not.
-spec lost(outbox()) -> {[{reference(), request(), ok | {error, term()}}], outbox()}.
lost(#outbox{entries = Entries} = Outbox) ->
    Empty = Outbox#outbox{entries = #{}, unsent = queue:new(), count = 0, bytes = 0},
    InOrder = lists:sort([{N, Ref, Entry} || {Ref, #entry{number = N} = Entry} <- maps:to_list(Entries)]),
    lists:mapfoldl(
        fun({_, Ref, #entry{request = Request} = Entry}, Left) ->
            {Result, Next} = stand(Entry, Left),
            {{Ref, Request, Result}, Next}
        end,
        Empty,
        InOrder
    ).

%% @doc Wishes that nobody waits for and that are not sent, and requests.
-spec sizes(outbox()) -> {Wishes :: non_neg_integer(), Requests :: non_neg_integer()}.
sizes(#outbox{wishes = Wishes, entries = Entries}) -> {beamroute_wishes:size(Wishes), map_size(Entries)}.
