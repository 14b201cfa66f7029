# To be sourced: packages of another Debian release, without a change to this machine.

# debian_use SUITE DIRECTORY [ARCHITECTURE...]: makes apt use the packages of a suite, with separate
# lists and a separate configuration in the directory, and fetches the lists; of amd64 and of each
# further architecture. $DEBIAN_MIRROR defaults to the mirror that this machine's apt uses.
debian_use() {
	local suite=$1 own=$2 mirror=${DEBIAN_MIRROR:-} each
	shift 2
	[ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m1 -E '/debian/?$' | sed 's,/$,,')
	case $suite in *-security) mirror+=-security ;; esac
	mkdir -p "$own/lists/partial" "$own/archives/partial"
	: >"$own/status"
	echo "deb [arch=$(IFS=,; echo "amd64${*:+,$*}") signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$own/sources.list"
	cat >"$own/apt.conf" <<-END
		Dir::Etc::sourcelist "$own/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::State "$own";
		Dir::State::status "$own/status";
		Dir::Cache "$own";
		APT::Architecture "amd64";
		APT::Sandbox::User "";
		Acquire::Languages "none";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		APT::Update::Post-Invoke-Success "";
	END
	for each in amd64 "$@"; do echo "APT::Architectures:: \"$each\";" >>"$own/apt.conf"; done
	export APT_CONFIG="$own/apt.conf"
	apt-get -qq update
}
