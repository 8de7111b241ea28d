module pierhead.example/bench/load

go 1.24
