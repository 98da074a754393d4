/^re\.test$/ /etc/ssl/seed/a.pem
if /x/
!/y/ DUNNO
endif
