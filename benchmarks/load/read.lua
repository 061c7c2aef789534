-- wrk: GET one path
dofile(os.getenv("REPORT"))
