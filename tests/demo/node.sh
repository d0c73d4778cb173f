# What every shell of the demo knows: where things are on a node, and how to do and say them.
export LC_ALL=C
unset CDPATH

objects=/run/podconfig/objects
records=/run/podconfig/records
reports=/run/podconfig/reports
log=/run/demo/reconfd.log
namespace=tenant-a
pods=(cnf-0 cnf-1)

for part in voice runtime measure daemon wire scenes plugin beyond vlan; do
    # shellcheck source=/dev/null
    source "$DEMO_FOLDER/$part.sh"
done
